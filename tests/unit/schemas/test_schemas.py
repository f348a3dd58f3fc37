"""What is taken off the wire, what is refused, and how times are written."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clusterm.enums import EventName, Result
from clusterm.schemas import (
    ConfigRequest,
    DiscoverRequest,
    Event,
    GlobalsRequest,
    MonitoredNode,
    MonitorRequest,
    NodesRequest,
    Problem,
    check_address,
    check_name,
    format_time,
)

REQUESTS = [NodesRequest, DiscoverRequest, GlobalsRequest, MonitorRequest, ConfigRequest]


# Times


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_time_is_written_in_utc_with_microseconds_and_reads_back(at: datetime) -> None:
    written = format_time(at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    assert datetime.fromisoformat(written) == at.astimezone(UTC)


def test_a_whole_second_has_microseconds_too() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert format_time(datetime(2026, 11, 22, 13, 1, 2, tzinfo=east)) == "2026-11-22T07:31:02.000000Z"


def test_an_event_reads_as_in_the_timeline() -> None:
    event = Event(
        id=1,
        at=datetime(2026, 11, 22, tzinfo=UTC),
        node="node2-b",
        event=EventName.COMMISSIONED,
        result=Result.FAIL,
        job=7,
        detail="no such disk",
    )
    assert str(event) == "node2-b commissioned; result: fail"
    assert str(event.model_copy(update={"event": EventName.DISAPPEARED, "result": None})) == "node2-b disappeared"
    assert str(event.model_copy(update={"node": None, "event": EventName.DISCOVERED})) == "discovered; result: fail"


# Addresses and names


@given(st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None).map(str))
def test_every_ip_address_is_an_address(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address", ["node1", "node1.example.com", "node_1", "1.example", "xn--bcher-kva.example", "fe80::1%eth0", "a" * 63]
)
def test_a_host_name_is_an_address(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", "node 1", "-node", "node-", ".node", "node..1", "a" * 64, ".".join(["a" * 60] * 5)),
        *("1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4:22", "[10.0.0.1]", "1::2::3", "10.0.0.0/8", "0x7f.1"),
        *("127.0.0.1\n", "node1\n", "\nnode1", "node1\0", "node1\x1b[2J", "node1 ansible_host=evil"),
        *("../etc", "/etc/passwd", "{{ node }}", "node1,node2", "user@node1", "-oProxyCommand=id"),
    ],
)
def test_what_is_neither_ip_address_nor_host_name_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a host name"):
        check_address(address)


@pytest.mark.parametrize(
    "zone", ["{{ 7 * 6 }}", "eth0\n", "eth0 ansible_connection=local", "..x", "\x1b[2J", "\0", "$(id)", "a" * 300]
)
def test_no_zone_of_an_ipv6_address_smuggles_anything_in(zone: str) -> None:
    """Python's ipaddress takes nearly anything after the `%`; ansible would take some of it for a template."""
    with pytest.raises(ValueError, match="neither an IP address nor a host name"):
        check_address(f"fe80::1%{zone}")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", ["!", "-", "\n", "..", ""])
def test_a_long_word_is_looked_at_once_not_in_every_way_that_it_could_be_cut(end: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a host name"):
        check_address("a" * 250 + end)


@given(st.text(st.sampled_from("afF19.:%-{ }/\n\0$"), max_size=12))
def test_an_accepted_address_has_no_meaning_to_inventory_path_or_shell(text: str) -> None:
    try:
        address = check_address(text)
    except ValueError:
        return
    assert re.fullmatch(r"[A-Za-z0-9.:%-]+", address)


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True))
def test_a_plain_name_is_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "-a", "a-", ".a", "a.", "_a", "a\n", "\na", "a\0b", "a\x1b[31mb", "nöde", "a" * 129),
        *("..", "../a", "a/b", "/etc", "a:b", "a,b", "{{ a }}", "a[1:3]", "a%20b", "a=b", "a;b", "a`b`", "\u202ea"),
    ],
)
def test_a_name_that_could_mean_more_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no valid name"):
        check_name(name)


def test_a_refusal_shows_no_more_than_the_start_of_what_it_refuses() -> None:
    for check in (check_name, check_address):
        with pytest.raises(ValueError, match="x!x!") as caught:
            check("x!" * 100_000)
        assert len(str(caught.value)) < 300


# Extra vars

_texts = st.text(st.characters(exclude_categories=["Cs"]))
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_texts, values, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_texts, _json, max_size=3)


@given(_objects)
def test_extra_vars_are_an_object_or_a_string_holding_one(extra_vars: dict[str, Any]) -> None:
    assert NodesRequest.model_validate({"extra_vars": extra_vars}).extra_vars == extra_vars
    assert NodesRequest.model_validate({"extra_vars": json.dumps(extra_vars)}).extra_vars == extra_vars


@pytest.mark.parametrize("given_value", ["", "{}", {}, None])
def test_empty_extra_vars_mean_none(given_value: object) -> None:
    assert NodesRequest.model_validate({"extra_vars": given_value}).extra_vars == {}


@pytest.mark.parametrize(
    "extra_vars",
    [
        *([], [1], 1, 1.5, True, "[1]", "1", "null", "true", '"a"', "{", "}", "{]", "{'a': 1}", "a: 1", " ", "{} {}"),
        *('{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": 1e400}', '{"a": ' + "9" * 5000 + "}"),
        *('{"a": "\\ud800"}', '{"\\udc00": 1}', '{"a": ' + "[" * 100_000, {"a": float("nan")}, {"a": float("inf")}),
        *('{"a": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001,),
    ],
)
def test_extra_vars_that_are_no_json_object_are_refused(extra_vars: object) -> None:
    for request in (NodesRequest, DiscoverRequest, GlobalsRequest):
        with pytest.raises(ValidationError) as caught:
            request.model_validate({"extra_vars": extra_vars})
        (error,) = caught.value.errors()
        assert error["msg"].startswith("not a JSON object: ")
        assert len(error["msg"]) < 500


# Requests


def test_a_repeated_node_counts_once_and_the_order_stays() -> None:
    assert NodesRequest(nodes=["b", "a", "b", "c", "a"]).nodes == ["b", "a", "c"]
    assert DiscoverRequest(addrs=["::2", "::1", "::2"]).addrs == ["::2", "::1"]


@pytest.mark.parametrize("request_type", REQUESTS)
def test_absent_and_empty_members_mean_not_given(request_type: type[Any]) -> None:
    nothing = request_type()
    names = request_type.model_fields.keys() & {"nodes", "addrs", "host_group", "extra_vars", "config"}
    assert request_type.model_validate(dict.fromkeys(names)) == nothing


@pytest.mark.parametrize("request_type", REQUESTS)
def test_members_of_other_requests_are_ignored_as_contiv_sends_them_all(request_type: type[Any]) -> None:
    others = {"nodes", "addrs", "host_group", "extra_vars", "job", "monitor_event", "config"}
    foreign = dict.fromkeys(others - request_type.model_fields.keys(), "whatever")
    assert request_type.model_validate(foreign) == request_type()


@pytest.mark.parametrize("request_type", REQUESTS)
@pytest.mark.parametrize("name", ["hostgroup", "extra-vars", "Nodes", ""])
def test_a_misspelt_member_is_refused(request_type: type[Any], name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        request_type.model_validate({name: None})


def test_a_monitored_node_is_called_label_and_serial() -> None:
    assert MonitoredNode(label="node1", serial="4c4c", addr="10.0.0.1").name == "node1-4c4c"


def test_an_answer_of_a_newer_service_can_be_read() -> None:
    problem = {"title": "Conflict", "status": 409, "detail": "no", "instance": "/later"}
    assert Problem.model_validate(problem).detail == "no"
