"""Which workers train together: read from environments and rank tables, right and wrong. No TensorFlow."""
import json

import pytest

from kwscli.errors import KwsError
from kwscli.workers import cluster, rank_table

HOSTS = {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"]}


def tf_config(jobs, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


def template_1(servers=1, devices=2, **changed):
    found = [
        {"server_id": "10.0.0.%d" % (10 + s), "device": [
            {"device_id": str(i), "device_ip": "192.168.%d.%d" % (100 + s, i + 1), "rank_id": str(s * devices + i)}
            for i in range(devices)
        ]} for s in range(servers)
    ]
    table = {"status": "completed", "version": "1.0", "server_count": str(servers), "server_list": found}
    return dict(table, **changed)


def template_2(**changed):
    instances = [
        {"devices": [{"device_id": i, "device_ip": "192.168.100." + i}], "rank_id": i, "server_id": "s"} for i in "01"
    ]
    group = {"device_num": "2", "server_num": "1", "group_name": "", "instance_count": "2", "instance_list": instances}
    return {"status": "completed", "group_count": "1", "group_list": [dict(group, **changed)]}


def replaced(old, new, table=None):
    """The JSON of a rank table in which a text is replaced."""
    return json.dumps(table or template_1()).replace(old, new).encode()


@pytest.fixture
def ascend(tmp_path):
    """ascend(table, NAME=value...): the environment of rank 1 of 2; None removes a variable."""

    def environment(table, **changed):
        path = tmp_path / "table.json"
        path.write_bytes(table if isinstance(table, bytes) else json.dumps(table).encode())
        names = {"RANK_TABLE_FILE": str(path), "RANK_SIZE": "2", "RANK_ID": "1", "JOB_ID": "1", "ASCEND_DEVICE_ID": "1"}
        return {name: value for name, value in dict(names, **changed).items() if value is not None}

    return environment


def refused(environ):
    with pytest.raises(KwsError) as error:
        cluster.of(environ)
    return str(error.value)


@pytest.mark.parametrize("environ", [
    {}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"RANK_SIZE": "1", "RANK_ID": "0", "JOB_ID": "1"},
    {"TF_CONFIG": json.dumps({"task": {"type": "worker", "index": 0}})}, {"CM_WORKER_SIZE": "1", "CM_CHIEF_IP": "a"},
])
def test_alone(environ):
    assert cluster.of(environ) == cluster.ALONE
    assert cluster.ALONE.size == 1 and cluster.ALONE.local_ranks == [0]


def test_one_worker_of_a_job_trains_alone():
    assert cluster.of(tf_config({"worker": ["a:1"]})).size == 1


@pytest.mark.parametrize("kind, index, rank", [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_the_chief_is_rank_0(kind, index, rank):
    found = cluster.of(tf_config(dict(HOSTS, evaluator=["e:2222"]), kind, index))
    assert (found.rank, found.size, found.hub, found.hccl) == (rank, 3, "a:2223", False)
    assert found.addresses == ("a:2222", "b:2222", "c:2222") and not found.on_loopback
    assert found.name(rank) == "worker %d (%s:2222)" % (rank, "abc"[rank])


def test_the_hub_takes_a_port_of_its_own():
    found = cluster.of(tf_config({"worker": ["h:2222", "h:2223", "other:2224", "h:2225"]}, index=3))
    assert found.hub == "h:2224" and found.local_ranks == [0, 1, 3]
    assert cluster.of(dict(tf_config(HOSTS), KWS_HUB="a:9")).hub == "a:9"
    assert cluster.of(tf_config({"worker": ["h:65535", "h:65534"]})).hub == "h:65533"


@pytest.mark.parametrize("environ, words", [
    ({"TF_CONFIG": "{"}, "$TF_CONFIG cannot be used: it is not JSON"),
    ({"TF_CONFIG": "[]"}, "$TF_CONFIG cannot be used: it is not a JSON object"),
    (tf_config({"worker": {"0": "a:1"}}), "cluster.worker is not a list of addresses"),
    (tf_config({"worker": ["a:1", "b:1"]}, index="x"), "task.index is not a whole number"),
    (tf_config(HOSTS, "ps"), "type ps"),
    (tf_config(HOSTS, "evaluator"), "type evaluator"),
    (tf_config(dict(HOSTS, ps=["p:1"])), "1 parameter servers"),
    (tf_config(dict(HOSTS, master=["m:1"])), "both a chief and a master"),
    (tf_config(HOSTS, "boss"), "this process is a boss, but the cluster has only chief, worker"),
    (tf_config(HOSTS, index=2), "worker 2, but the cluster has 2"),
    (tf_config({"worker": ["a", "b:1"]}), "address 'a'"),
    (tf_config({"worker": ["a:0", "b:1"]}), "address 'a:0'"),
    (tf_config({"worker": ["a:65536", "b:1"]}), "port from 1 to 65535"),
    (tf_config({"worker": ["a:1", "a:1"]}), "a:1 to more than one worker"),
    (tf_config({"worker": ["localhost:1", "a:1"]}), "mixes localhost with addresses of other machines"),
    (dict(tf_config(HOSTS), KWS_HUB="here"), "$KWS_HUB has the address 'here'"),
    (dict(tf_config(HOSTS), KWS_HUB="b:2222"), "$KWS_HUB is b:2222, where a worker's TensorFlow server listens"),
    (dict(tf_config(HOSTS), KWS_HUB="localhost:1"), "workers on other machines cannot reach"),
    (tf_config({"wroker": ["a:1"], "worker": ["b:1"]}), "tasks of an unknown type: wroker"),
    (tf_config({"wroker": ["a:1"]}, "wroker"), "tasks of an unknown type: wroker"),
    (tf_config({"chief": ["a:1", "b:1"]}, "chief"), "more than one chief"),
    (tf_config(HOSTS, ["worker"]), "task.type is missing or not text"),
    (tf_config(HOSTS, index=1.7), "task.index is not a whole number"),
    (tf_config(HOSTS, index=float("inf")), "task.index is not a whole number"),
    (tf_config({"worker": ["http://a:1", "b:1"]}), "address 'http://a:1'"),
    (tf_config({"worker": ["::1:1", "b:1"]}), "address '::1:1'"),
    (tf_config({"worker": ["localhost:1", "127.0.0.1:1"]}), "127.0.0.1:1 to more than one worker"),
    ({"RANK_SIZE": "8", "RANK_ID": "3"}, "$RANK_SIZE is 8 and $RANK_ID is 3, but RANK_TABLE_FILE is not set"),
    ({"RANK_SIZE": "two"}, "$RANK_SIZE is 'two'"), ({"RANK_ID": "1" * 5000}, "it must be a number"),
    ({"CM_WORKER_SIZE": "8", "RANK_SIZE": "8"}, "$CM_WORKER_SIZE and $RANK_SIZE are two ways"),
    ({"CM_CHIEF_IP": "a", "RANK_TABLE_FILE": "t"}, "$CM_CHIEF_IP and $RANK_TABLE_FILE are two ways"),
    ({"CM_WORKER_SIZE": "8", "CM_CHIEF_IP": "a"}, "$CM_WORKER_SIZE says that there are 8 workers, but not which"),
    ({"RANK_TABLE_FILE": "/nowhere/t.json"}, "/nowhere/t.json cannot be read: No such file"),
])
def test_an_environment_that_cannot_be_right_is_refused(environ, words):
    assert words in refused(environ)


@pytest.mark.parametrize("table", [template_1(), template_2()], ids=["template 1", "template 2"])
def test_a_rank_table(ascend, table):
    found = cluster.of(ascend(table))
    assert (found.rank, found.size, found.hccl, found.on_loopback) == (1, 2, True, True)
    assert [address[-2:] for address in found.addresses] == ["/0", "/1"] and found.local_ranks == [0, 1]


def test_a_rank_table_of_two_servers(ascend):
    found = cluster.of(ascend(template_1(2, 8), RANK_SIZE="16", RANK_ID="9"))
    assert found.name(9) == "worker 9 (10.0.0.11/1)" and found.hub == "10.0.0.10:22222"
    assert found.local_ranks == list(range(8, 16)) and not found.on_loopback


@pytest.mark.parametrize("changed, words", [
    ({"RANK_SIZE": "8"}, "$RANK_SIZE is 8, but"), ({"RANK_SIZE": None}, "RANK_TABLE_FILE is set, but not RANK_SIZE"),
    ({"RANK_ID": "2"}, "$RANK_ID is 2, but"), ({"RANK_ID": None, "JOB_ID": None}, "but not RANK_ID, JOB_ID"),
    ({"ASCEND_DEVICE_ID": "5"}, "$ASCEND_DEVICE_ID is 5, but"),
    (tf_config(HOSTS), "$TF_CONFIG and $RANK_TABLE_FILE both"),
])
def test_an_environment_that_contradicts_its_rank_table_is_refused(ascend, changed, words):
    assert words in refused(ascend(template_1(), **changed))


@pytest.mark.parametrize("table, words", [
    (b"{", "is damaged: it is not JSON"), (b"[]", "is damaged: it is not a JSON object"),
    ({}, "neither server_list nor group_list"),
    (template_1(status="initializing"), "status is 'initializing'"), (template_1(version="2.0"), "version is '2.0'"),
    (template_1(server_count="2"), "server_count is '2', but there are 1"),
    (template_1(server_count=1), "server_count is 1, not text"),
    (template_1(devices=3), "10.0.0.10 has 3 devices, not 1, 2, 4 or 8"),
    (template_1(server_list=[]), "server_count is '1', but there are 0"),
    (template_1(server_list=[], server_count="0"), "it has no device"),
    (replaced('"10.0.0.10"', "5"), "server_id is 5, not text"),
    (replaced('"10.0.0.10"', '["a"]'), "server_id is missing or not text"),
    (replaced("192.168.100.2", "192.168.100.1"), "device_ip 192.168.100.1"),
    (replaced("192.168.101.1", "", template_1(2, 1)), "a device has no device_ip"),
    (replaced('"rank_id": "1"', '"rank_id": "0"'), "the ranks are 0, 0, but must be 0 to 1"),
    (replaced('"rank_id": "1"', '"rank_id": "one"'), "rank_id is 'one', not a number"),
    (replaced('"device_id": "1"', '"device_id": "9"'), "the device_ids 0, 9, but they must be from 0 to 7"),
    (replaced("192.168.100.2", "nowhere"), "device_ip of rank 1 is 'nowhere'"),
    (replaced('"rank_id"', '"rank"'), "rank_id is missing"),
    (template_2(device_num="8"), "device_num is '8', but there are 2"),
    (template_2(instance_count="1", server_num="2"), "server_num is '2', but there are 1; instance_count is '1'"),
])
def test_a_wrong_rank_table_is_refused_with_the_reason(ascend, table, words):
    assert words in refused(ascend(table))


DEEP = 100000
JSON_OF_ANY_FORM = {
    "not JSON": b"hello", "cut off": b'{"server_list": [', "binary": b"\x1f\x8b\x08\x00\xff", "zeros": bytes(100),
    "a number": b"1", "a list": b"[1]", "text": b'"server_list"', "null": b"null",
    "nested lists": b"[" * DEEP + b"]" * DEEP, "nested objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
}
WRONG_VALUES = "1 null true [] {} \"a\" [1] [[]] [{}] {\"a\":1} 1e999".split() + ["[" * 900 + "]" * 900]


def with_each_value_wrong(table):
    """(where and what, JSON) for every value in a table, replaced by every wrong value."""
    mark = "to be replaced"

    def marked(value, path):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        yield path, mark
        for key, item in items:
            for where, replaced_item in marked(item, path + (key,)):
                copy = dict(value) if isinstance(value, dict) else list(value)
                copy[key] = replaced_item
                yield where, copy

    for path, copy in marked(table, ()):
        for wrong in WRONG_VALUES:
            yield "%s: %.20s" % (path, wrong), json.dumps(copy).replace('"%s"' % mark, wrong).encode()


@pytest.mark.parametrize("case", JSON_OF_ANY_FORM)
def test_a_rank_table_and_a_tf_config_of_any_form_are_one_error(ascend, case):
    text = JSON_OF_ANY_FORM[case]
    message = refused(ascend(text))
    assert "table.json is damaged: it is " in message and "\n" not in message and len(message) < 400
    message = refused({"TF_CONFIG": text.decode("utf-8", "surrogateescape")})
    assert "$TF_CONFIG cannot be used: it is " in message and "\n" not in message and len(message) < 400


def assert_no_traceback(environ, where, case):
    """The environment is used, or refused by an error that says where it is wrong and what to do."""
    try:
        assert cluster.of(environ).size in (1, 2, 3), case
    except KwsError as error:
        assert where in error.problem and error.advice and len(str(error)) < 600, case


@pytest.mark.parametrize("table", [template_1(), template_2()], ids=["template 1", "template 2"])
def test_no_value_of_a_wrong_type_in_a_rank_table_ends_in_a_traceback(ascend, table):
    for case, text in with_each_value_wrong(table):
        assert_no_traceback(ascend(text), "table.json", case)


def test_no_value_of_a_wrong_type_in_a_tf_config_ends_in_a_traceback():
    config = {"cluster": {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"]}, "task": {"type": "worker", "index": 0}}
    for case, text in with_each_value_wrong(config):
        assert_no_traceback({"TF_CONFIG": text.decode()}, "$TF_CONFIG", case)


def test_a_written_rank_table_can_be_read(tmp_path):
    hccn, path = tmp_path / "hccn.conf", str(tmp_path / "table.json")
    lines = ["address_%d=192.168.100.%d\nnetmask_%d=255.255.255.0\n" % (i, i + 101, i) for i in range(8)]
    hccn.write_text("".join(lines))
    rank_table.write(path, 8, str(hccn))
    assert [device.device_ip for device in rank_table.read(path)][::7] == ["192.168.100.101", "192.168.100.108"]
    for rank, environ in enumerate(cluster.local_npus(path, range(1226, 1235))):
        found = cluster.of(environ)
        assert (found.rank, found.size, found.hub) == (rank, 8, "127.0.0.1:1234")
        assert environ["ASCEND_DEVICE_ID"] == str(rank)


def test_the_rank_table_whose_ranks_are_still_to_be_started(ascend):
    told = ascend(template_1(), RANK_ID=None, RANK_SIZE=None)
    assert cluster.table_to_start(told) == told["RANK_TABLE_FILE"]
    assert cluster.table_to_start(ascend(template_1())) is None and cluster.table_to_start({}) is None
    assert cluster.table_to_start(ascend(template_1(), RANK_SIZE=None)) is None
    told = ascend(template_1(), RANK_ID="0", RANK_SIZE="1")  # as a training on one device is set up
    assert cluster.table_to_start(told) == told["RANK_TABLE_FILE"]


@pytest.mark.parametrize("table, words", [
    (template_1(devices=4), "--workers is 2, but the rank table .* has 4 devices"),
    (template_1(servers=2, devices=1), "has the servers 10.0.0.10, 10.0.0.11, but --workers starts processes on one"),
])
def test_ranks_that_cannot_be_started_here(ascend, table, words):
    with pytest.raises(KwsError, match=words):
        cluster.local_npus(ascend(table)["RANK_TABLE_FILE"], [1, 2, 3])


@pytest.mark.parametrize("size, text, words", [
    (3, "", "--workers is 3"), (2, "address_0=1.2.3.4\n", "no address_1"), (2, None, "cannot be read: No such file"),
    (2, b"\xff\xfe\x00", "no address_0, address_1"),
])
def test_a_rank_table_cannot_be_written_without_the_addresses_of_the_driver(tmp_path, size, text, words):
    hccn = tmp_path / "hccn.conf"
    if text is not None:
        hccn.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(KwsError, match=words):
        rank_table.write(str(tmp_path / "table.json"), size, str(hccn))


def test_the_environment_of_workers_on_this_machine():
    for rank, environ in enumerate(cluster.local([4001, 4002, 4003])):
        found = cluster.of(dict({"RANK_TABLE_FILE": "of the NPUs here"}, **environ))
        assert found == cluster.Cluster(rank, ("127.0.0.1:4001", "127.0.0.1:4002"), "127.0.0.1:4003")
        assert found.on_loopback
