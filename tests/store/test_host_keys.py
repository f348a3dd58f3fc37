"""Host keys in the store: learned, moved to a node, replaced and removed."""

from typing import Any

from support.host_keys import FINGERPRINT, KEY, OTHER
from support.rows import read_timeline

from clusterm.enums import DEFAULT_HOST_GROUPS
from clusterm.nodes import changes as node_changes
from clusterm.nodes.host_keys import known, learn, replace
from clusterm.schemas import MonitoredNode
from clusterm.store import nodes, tables
from clusterm.store.engine import Store


def learned_by_a_job(store: Store, keys: dict[str, list[str]], targets: dict[str, str | None]) -> None:
    about: dict[str, Any] = {"id": 7, "requested_by": "ann", "extra_vars": {}}
    with store.write() as session:
        learn(session, tables.Job(**about), keys, targets)


def keys_of(store: Store, target: str) -> list[str]:
    with store.read() as session:
        return known(session, [target], {}).get(target, [])


def test_keys_go_from_an_address_to_its_node_and_with_that(store: Store) -> None:
    learned_by_a_job(store, {"10.0.0.1": [KEY]}, {"10.0.0.1": None, "10.0.0.2": None})
    assert keys_of(store, "10.0.0.1") == [KEY]
    groups = DEFAULT_HOST_GROUPS
    with store.write() as session:
        node_changes.register(session, MonitoredNode(label="web", serial="1", addr="10.0.0.1"), groups)
    assert keys_of(store, "web-1") == [KEY], "before a job was on the node, too"
    learned_by_a_job(store, {}, {"web-1": "web-1"})
    assert keys_of(store, "10.0.0.1") == []
    with store.write() as session:
        nodes.get(session, "web-1").address = "10.0.0.9"
    assert keys_of(store, "web-1") == [KEY]
    learned_by_a_job(store, {"web-1": [OTHER]}, {"web-1": "web-1"})
    assert keys_of(store, "web-1") == [KEY], "a key that is known is not replaced by a job"
    with store.read() as session:
        told = [(event.node, event.event, event.detail) for event in read_timeline(session)]
    assert told == [
        (None, "key_trusted", f"10.0.0.1: ED25519 {FINGERPRINT} at first use"),
        ("web-1", "key_trusted", f"ED25519 {FINGERPRINT} at first use"),
    ]


def test_an_address_that_is_no_node_can_be_trusted_and_forgotten(store: Store) -> None:
    replace(store, "2001:db8::1", [KEY, KEY], "ann")
    assert keys_of(store, "2001:db8::1") == [KEY]
    answer = replace(store, "2001:db8::1", [OTHER], "ann")
    assert [key.fingerprint for key in answer.forgotten] == [FINGERPRINT]
    replace(store, "2001:db8::1", [], "ann")
    assert keys_of(store, "2001:db8::1") == []
    with store.read() as session:
        told = [(event.event, event.by) for event in read_timeline(session)]
    assert told == [("key_trusted", "ann"), ("key_trusted", "ann"), ("key_forgotten", "ann")]
