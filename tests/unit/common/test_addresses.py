"""The canonical form of addresses, and places written as address and port."""

import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterm.common.addresses import Place, canonical_address, parse_place, ssh_port

SAME = [
    ("2001:db8::77", ["2001:db8:0::77", "2001:DB8::77", "2001:0db8:0:0:0:0:0:0077", "[2001:db8::77]"]),
    ("10.7.7.7", ["::ffff:10.7.7.7", "::FFFF:a07:707", "[::ffff:10.7.7.7]"]),
    ("h1.example.org", ["H1.example.org", "h1.example.org.", "H1.EXAMPLE.ORG."]),
    ("xn--bcher-kva.example", ["bücher.example", "BÜCHER.example", "XN--BCHER-KVA.example", "bücher\u3002example."]),
    ("fe80::1%eth0", ["FE80::1%eth0", "[fe80:0::1%eth0]"]),
    ("db_master", ["DB_master", "db_master."]),
]


@pytest.mark.parametrize(("canonical", "text"), [(form, text) for form, texts in SAME for text in [form, *texts]])
def test_every_spelling_of_an_address_has_one_form(canonical: str, text: str) -> None:
    assert canonical_address(text) == canonical


@given(st.ip_addresses().map(str))
def test_the_form_of_an_ip_address_is_its_own_form(address: str) -> None:
    assert canonical_address(canonical_address(address)) == canonical_address(address)
    assert canonical_address(address.upper()) == canonical_address(address)


@pytest.mark.parametrize(
    "text",
    [
        *("010.7.7.7", "10.07.7.7", "0x7f.1", "0x7f000001", "127.1", "2130706433", "256.1.1.1", "1.2.3.4.5"),
        *("[10.0.0.1]", "[h1]", "[::1", "::1]", "[]", "[[::1]]"),
        *("2001:db8::1%eth0", "::1%lo", "10.0.0.1%eth0", "fe80::1%", "fe80::1%{{ x }}", "fe80::1%a/b", "fe80::1%%a"),
        *("straße.example", "xn--a\u200d.example", "a..b", ".", "", "a" * 64, "é" * 300, "-oProxyCommand=id", "a_.-"),
    ],
)
def test_what_programs_read_differently_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="neither an IP address nor a host name"):
        canonical_address(text)


@given(st.text(st.sampled_from("0123456789abxX."), min_size=1, max_size=12))
def test_no_host_name_is_an_ipv4_address_to_the_resolver(text: str) -> None:
    try:
        form = canonical_address(text)
    except ValueError:
        return
    if not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", form):
        with pytest.raises(OSError):
            socket.inet_aton(form)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("10.0.0.1", Place("10.0.0.1")),
        ("10.0.0.1:2201", Place("10.0.0.1", 2201)),
        ("H1.example.org.:22", Place("h1.example.org", 22)),
        ("2001:DB8::1", Place("2001:db8::1")),
        ("2001:db8::1:2201", Place("2001:db8::1:2201")),
        ("[2001:db8::1]", Place("2001:db8::1")),
        ("[2001:DB8::1]:2201", Place("2001:db8::1", 2201)),
        ("[fe80::1%eth0]:22", Place("fe80::1%eth0", 22)),
    ],
)
def test_a_place_is_an_address_with_or_without_a_port(text: str, place: Place) -> None:
    assert parse_place(text) == place
    assert parse_place(str(place)) == place._replace(port=None if place.port == 22 else place.port)


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "ssh", "٢٢", "2 2", "1" * 5000, "022222"])
def test_a_port_is_a_number_up_to_65535(port: str) -> None:
    for address in ("10.0.0.1", "[::1]", "h1"):
        with pytest.raises(ValueError, match=r"no valid port|neither an IP address"):
            parse_place(f"{address}:{port}")


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 22),
        ({"ansible_port": 2201}, 2201),
        ({"ansible_port": "2201"}, 2201),
        ({"ansible_port": "{{ base + 1 }}"}, None),
        ({"ansible_port": 0}, None),
        ({"ansible_port": True}, None),
        ({"ansible_port": [22]}, None),
    ],
)
def test_the_ssh_port_is_that_of_ansible(variables: dict[str, object], port: int | None) -> None:
    assert ssh_port(variables) == port
