"""The fake API server says no where a real one does, so that a test against it means something."""

import http.client
import json
import ssl

import pytest

from tests.support.fake_kube import FakeKube

NODE = "/api/v1/nodes/n1"


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1", {"a": "1"})
        yield running


def ask(api, tmp_path, method, path, body=None, *, content_type="application/merge-patch+json", token="Bearer x"):
    context = ssl.create_default_context(cafile=api.write_service_account(tmp_path) / "ca.crt")
    connection = http.client.HTTPSConnection("127.0.0.1", api.port, context=context, timeout=300)
    try:
        headers = {"Content-Type": content_type, "Authorization": token}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("request_line", "content_type", "refusal"),
    [
        (("GET", "/api/v1/nodes/n2"), "", (404, "NotFound")),
        (("GET", "/api/v1/pods/n1"), "", (404, "NotFound")),
        (("POST", NODE), "application/json", (405, "MethodNotAllowed")),
        (("PATCH", NODE), "application/json", (415, "UnsupportedMediaType")),
    ],
)
def test_what_it_does_not_serve_is_refused_with_a_status_object(api, tmp_path, request_line, content_type, refusal):
    api.tokens[:] = ["x"]

    code, body = ask(api, tmp_path, *request_line, {"metadata": {}}, content_type=content_type)

    assert ("Status", *refusal) == (body["kind"], code, body["reason"])


@pytest.mark.parametrize("token", ["", "Bearer y", "Basic eDp5", "bearer"])
def test_a_caller_it_does_not_know_is_refused(api, tmp_path, token):
    api.tokens[:] = ["x"]

    assert 401 == ask(api, tmp_path, "GET", NODE, token=token)[0]


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/strategic-merge-patch+json"])
def test_a_patch_that_changes_nothing_keeps_the_version(api, tmp_path, content_type):
    api.tokens[:] = ["x"]
    before = ask(api, tmp_path, "GET", NODE)[1]["metadata"]["resourceVersion"]
    versions = [
        ask(api, tmp_path, "PATCH", NODE, {"metadata": {"labels": {"a": value}}}, content_type=content_type)[1][
            "metadata"
        ]["resourceVersion"]
        for value in ("1", "2")
    ]

    assert [True, False] == [version == before for version in versions]
    assert ["GET", "PATCH", "PATCH"] == api.methods()
