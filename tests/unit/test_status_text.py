"""How `status` shows pictures."""

from nodeprefetch.cli.status_text import render_status
from nodeprefetch.cluster.picture import Cause, ImagePicture, NodePicture, NodeState, Picture

NOW = 1000.0


def node(name: str, state: NodeState, **more: object) -> NodePicture:
    return NodePicture(node=name, state=state, **more)


def picture(**more: object) -> Picture:
    known = {
        "namespace": "infra",
        "name": "web",
        "source": "aggregator (through the API server)",
        "list_digest": "d",
        "list_images": ("a:1", "b:1"),
        "nodes": (
            node("n1", NodeState.WARM, present=2, images=2, heard=990.0),
            node("n2", NodeState.PULLING, present=1, images=2, done_bytes=1 << 20, total_bytes=4 << 20, heard=998.0),
            node("n3", NodeState.FAILED, why="1 of 2 images missing: b:1: not found", present=1, images=2, heard=0.0),
            node("n4", NodeState.UNSEEN, why="its pod is starting"),
        ),
        "images": (
            ImagePicture(image="a:1", size=3 << 30, present=3, missing=1, digests=2),
            ImagePicture(image="b:1", present=1, missing=3),
        ),
        "causes": (
            Cause(
                text="not found",
                nodes=7,
                examples=("n3", "n5", "n6", "n7", "n8", "n9"),
                image="b:1",
                error_class="permanent",
                reason="not_found",
                advice="push the image",
            ),
            Cause(text="the pod is not scheduled: no room", nodes=1, examples=("n4",)),
        ),
        "heard": 998.0,
    }
    return Picture(**{**known, **more})


def test_an_installation_is_one_line_and_then_come_its_causes():
    assert """\
NAMESPACE  NAME  NODES  WARM  PULLING  WAITING  FAILED  NOT SEEN  IMAGES  SIZE     LAST NEWS
infra      web   4      1     1        0        1       1         2       3.0 GiB  2s

infra/web, from aggregator (through the API server):
  7 nodes: b:1: not_found (permanent)
    not found
    on n3, n5, n6, n7, n8 and 2 more
    to do: push the image
  1 node: the pod is not scheduled: no room
    on n4""" == render_status([picture()], NOW)


def test_nodes_that_need_somebody_come_first():
    assert """\
NODE  STATE     IMAGES  BYTES           LAST NEWS  WHY
n3    failed    1/2     -               16m        1 of 2 images missing: b:1: not found
n4    not-seen  -       -               -          its pod is starting
n2    pulling   1/2     1.0 of 4.0 MiB  2s
n1    warm      2/2     -               10s""" == render_status([picture()], NOW, with_nodes=True).split("\n\n")[2]


def test_bytes_of_a_node_may_have_no_total():
    """On CRI-O."""
    pulling = NodePicture(node="n2", state=NodeState.PULLING, images=2, present=1, done_bytes=3 * 2**20, heard=998.0)

    table = render_status([picture(nodes=(pulling,))], NOW, with_nodes=True).split("\n\n")[2]

    assert "n2    pulling  1/2     3.0 MiB  2s" == table.splitlines()[1]


def test_images_show_how_many_digests_a_tag_has():
    assert """\
IMAGE  SIZE     ON NODES  MISSING  DIGESTS
a:1    3.0 GiB  3         1        2
b:1    -        1         3        -""" == render_status([picture()], NOW, with_images=True).split("\n\n")[2]


def test_what_is_unknown_is_a_dash():
    bare = picture(list_digest=None, list_images=None, nodes=(), images=(), causes=(), heard=None, notes=("a note",))

    assert """\
NAMESPACE  NAME  NODES  WARM  PULLING  WAITING  FAILED  NOT SEEN  IMAGES  SIZE  LAST NEWS
infra      web   0      0     0        0        0       0         -       -     -

infra/web, from aggregator (through the API server):
  note: a note
  no nodes""" == render_status([bare], NOW)


def test_an_invalid_list_is_said_first():
    text = render_status([picture(list_problems=("images.txt:1: bad",), list_digest=None, list_images=None)], NOW)

    assert "  the image list is invalid: images.txt:1: bad\n  7 nodes" in text


def test_all_warm_is_said():
    warm = picture(nodes=(node("n1", NodeState.WARM),), causes=())

    assert render_status([warm], NOW).endswith("  all nodes are warm")


def test_names_cannot_write_on_the_terminal():
    hostile = "\x1b[31mred\r\n\u202e"
    everywhere = picture(
        namespace=hostile,
        name=hostile,
        source=hostile,
        notes=(hostile,),
        list_problems=(hostile,),
        nodes=(node(hostile, NodeState.FAILED, why=hostile),),
        images=(ImagePicture(image=hostile),),
        causes=(Cause(text=hostile, nodes=1, examples=(hostile,), image=hostile, reason=hostile, advice=hostile),),
    )

    text = render_status([everywhere], NOW, with_nodes=True, with_images=True)

    assert not {"\x1b", "\r", "\u202e"} & set(text)


def test_many_causes_are_cut():
    causes = tuple(Cause(text=f"cause {number}", nodes=1, examples=("n",)) for number in range(12))

    text = render_status([picture(causes=causes)], NOW)

    assert "cause 9" in text
    assert "cause 10" not in text
    assert "  and 2 more causes (--output json has all)" in text


def test_nodes_that_need_no_images_are_counted_apart_and_listed_last():
    why = "no pod that matches app=web in namespace team runs there"
    skipped = (node("n0", NodeState.SKIPPED, why=why),)
    warm = (node("n1", NodeState.WARM, present=2, images=2),)

    text = render_status([picture(nodes=warm, skipped=skipped, causes=())], NOW, with_nodes=True)

    assert f"  1 node skipped: {why}\n  all other nodes are warm" in text
    assert text.splitlines()[-1].split()[:2] == ["n0", "skipped"]
    assert text.splitlines()[1].split()[2:4] == ["1", "1"]


def test_where_no_node_needs_images_there_are_no_others():
    skipped = (node("n0", NodeState.SKIPPED, why="none"),)

    assert "  1 node skipped: none\n  no other nodes" in render_status(
        [picture(nodes=(), skipped=skipped, causes=())], NOW
    )
