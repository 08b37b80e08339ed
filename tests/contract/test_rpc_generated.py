"""The generated code: up to date, cheap to import, and right for calls that CRI does not have."""

import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from nodeprefetch.rpc import open_channel
from tests.support.grpc_peers import GrpcPeer

ROOT = Path(__file__).parents[2]
GENERATE = [sys.executable, str(ROOT / "dev" / "generate")]

ECHO = """
syntax = "proto3";
package test;
message Text { string text = 1; }
service Echo {
  rpc Unary(Text) returns (Text);
  rpc Count(Text) returns (stream Text);
  rpc Early(stream Text) returns (Text);
  rpc Chat(stream Text) returns (stream Text);
}
"""


def generate(*arguments: object) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("grpc_tools", reason="the codegen group is not installed")
    return subprocess.run([*GENERATE, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_generating_again_changes_nothing() -> None:
    done = generate("--check")

    assert (0, "") == (done.returncode, done.stdout)


def test_what_is_out_of_date_missing_or_left_over_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "message_pool.py").write_text("old = 1\n")
    (tmp_path / "gone.py").write_text("")
    script = runpy.run_path(GENERATE[1])

    assert 1 == script["compare"](script["OUTPUT"], tmp_path)

    shown = capsys.readouterr().out
    for label in ("message_pool.py: out of date", "-old = 1", "gone.py: left over", "v1/__init__.py: missing"):
        assert label in shown


def test_importing_it_loads_no_second_event_loop_and_no_server() -> None:
    code = "import sys, nodeprefetch.rpc.cri; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "nodeprefetch.rpc._generated.runtime.v1" in loaded
    unwanted = {"asyncio", "dateutil", "multidict", "grpclib.client", "grpclib.server", "betterproto2.grpclib"}
    assert set() == unwanted & set(loaded)


async def test_generated_stubs_make_calls_of_every_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proto").mkdir()
    (tmp_path / "proto" / "echo.proto").write_text(ECHO)
    done = generate("--proto", tmp_path / "proto", "--output", tmp_path / "generated_echo")
    assert 0 == done.returncode, done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    echo = importlib.import_module("generated_echo.test")

    messages = [echo.Text(text="a"), echo.Text(text="b")]
    with GrpcPeer("grpcio", tmp_path) as peer:
        async with open_channel(peer.address) as channel:
            stub = echo.EchoStub(channel, metadata={"x-a": "b"})
            assert messages[0] == await stub.unary(messages[0], metadata={"x-b": "c"})
            assert messages[0] == await stub.early(messages)
            async with stub.chat(messages) as replies:
                assert messages == [reply async for reply in replies]
