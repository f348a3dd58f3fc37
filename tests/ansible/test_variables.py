"""Variables of clients with the real ansible: texts are data in every place that evaluates, and nothing is executed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.service import Clusterm

from clusterctl.parsing import read_mapping
from clusterm.ansible.command import find_executable

PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  ignore_errors: true
  tasks:
"""

EVERYWHERE = """
    - {name: when, debug: {msg: ran}, when: "{{ TEXT }}"}
    - {name: bare when, debug: {msg: ran}, when: "TEXT"}
    - {name: failed_when, debug: {msg: ran}, failed_when: "{{ TEXT }}"}
    - {name: changed_when, command: "true", changed_when: "{{ TEXT }}"}
    - {name: until, debug: {msg: ran}, until: "{{ TEXT }}", retries: 1, delay: 0}
    - {name: assert, assert: {that: "{{ TEXT }}"}}
    - {name: assert list, assert: {that: ["{{ TEXT }}"]}}
    - {name: loop, debug: {var: "{{ item }}"}, loop: ["{{ TEXT }}"]}
    - {name: fact, set_fact: {copied: "{{ TEXT }}"}}
    - {name: when of a fact, debug: {msg: ran}, when: "{{ copied }}"}
    - {name: command, command: "echo {{ TEXT | quote }}"}
    - {name: environment, command: env, environment: {SENT: "{{ TEXT }}"}}
"""
"""Tasks that evaluate a text, or hand it to a program."""

ONCE = """
    - {name: debug var, debug: {var: "{{ TEXT }}"}}
    - {name: say, debug: {msg: "{{ TEXT }}"}}
"""

EXPRESSIONS = {
    "text": "text",
    "nested": "nested.list[0].member",
    "key": "(keyed | list)[0]",
    "of_globals": "of_globals.text",
    "of_host": "of_host[0]",
}
"""Expressions that give a text of a request, of the globals and of a host var."""


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service whose configure playbook is written by each test, and a node for each test."""
    clusterm = module_clusterm.start()
    clusterm.add_nodes("a-1", "b-2", "c-3")
    return clusterm


def run(service: Clusterm, node: str, playbook: str, **extra_vars: Any) -> dict[str, Any]:
    """Commission a node with a playbook, and return the job."""
    service.write_playbook("site.yml", playbook)
    return service.run("commission", [node], extra_vars=extra_vars)


def test_no_text_is_evaluated(service: Clusterm, tmp_path: Path) -> None:
    def attack(name: str) -> str:
        return f"lookup('pipe', 'touch {tmp_path / name}') == ''"

    service.post("/globals", {"extra_vars": {"of_globals": {"text": attack("of_globals")}}})
    service.post("/node/a-1/set", {"vars": {"of_host": [attack("of_host")]}})
    playbook = PLAY + EVERYWHERE.replace("TEXT", "text")
    playbook += "".join(ONCE.replace("TEXT", expression) for expression in EXPRESSIONS.values())
    extra_vars = {
        "text": attack("text"),
        "nested": {"list": [{"member": attack("nested")}]},
        "keyed": {attack("key"): 1},
    }
    job = run(service, "a-1", playbook, **extra_vars)
    service.post("/globals", {"extra_vars": {}})
    log = "\n".join(job["logs"])
    for name in EXPRESSIONS:
        assert f'"msg": {json.dumps(attack(name))}' in log, "it is said as it was sent"
    assert [file.name for file in tmp_path.iterdir()] == []


def test_a_text_is_evaluated_where_the_site_allows_templates(new_clusterm: Clusterm, tmp_path: Path) -> None:
    """The counterpart, which shows that these tasks do evaluate text."""
    new_clusterm.config["ansible"]["allow_templates_in_vars"] = True
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    tasks = EVERYWHERE.replace("TEXT", "text").splitlines()
    run(clusterm, "a-1", PLAY + tasks[1], text=f"lookup('pipe', 'touch {tmp_path / 'touched'}') == ''")
    assert (tmp_path / "touched").exists()


def test_values_arrive_as_they_were_sent(service: Clusterm) -> None:
    values: dict[str, Any] = {
        "serial_no": 20261126000000000001,
        "below": -(2**70),
        "digits": 0.1,
        "tiny": 5e-324,
        "large": 1.7976931348623157e308,
        "zero": -0.0,
        "whole": 1e22,
        "empty": "",
        "texts": [
            "yes",
            "0644",
            "1e3",
            "2024-01-31",
            "~",
            "null",
            "!unsafe x",
            "!vault |",
            " x ",
            "a\nb\n",
            "é😀\u2028",
        ],
        "nothing": None,
        "switch": True,
        "list": [],
        "object": {"__ansible_vault": "x", "__ansible_unsafe": "y", "__ansible_type": "z", "a b": {"{": []}},
        "plain object": {"a": [1, 2.5, {"b": None}]},
    }
    shown = "- hosts: all\n  connection: local\n  gather_facts: false\n  tasks:\n"
    for name in ("sent", "of_globals", "of_host"):
        shown += f"    - copy: {{dest: '{service.root}/{name}', content: \"{{{{ {name} | to_json }}}}\"}}\n"
    service.post("/globals", {"extra_vars": {"of_globals": values}})
    host_values = values | {"object": {}}  # host vars with these keys are rejected
    assert service.post("/node/b-2/set", {"vars": {"of_host": host_values}}).is_success
    job = run(service, "b-2", shown, sent=values)
    assert job["status"] == "Complete", job["error"]
    for name, expected in (("sent", values), ("of_globals", values), ("of_host", host_values)):
        got = json.loads((service.root / name).read_text())
        assert got == expected, name
        assert repr(got["zero"]) == "-0.0"
    assert service.job(job["id"])["extra_vars"] == {"sent": values}
    assert service.get("/info/globals")["extra_vars"] == {"of_globals": values}
    assert service.get("/info/nodes")["b-2"]["configuration_state"]["inventory_vars"]["of_host"] == host_values
    service.post("/globals", {"extra_vars": {}})


FILE = """
released: 2024-01-31
built: 2024-01-31 10:20:30
signed: 2024-01-31T10:20:30.5+02:00
zoned: 2024-01-31T10:20:30Z
mode: 0644
text_mode: "0644"
hex: 0x1f
minutes: 1:30
serial_no: 20261126000000000001
below: -20261126000000000001
digits: 0.1000000000000000055511151231257827
tiny: 1e-400
minus: -0
minus_float: -0.0
large: 1.0e+22
no_float: 1e5
switch: yes
other: Off
nothing: ~
empty: ""
unsafe: !unsafe "{{ x }}"
merged: {<<: &base {a: 1}, b: 2}
again: *base
folded: >
  a
  b
"""


def test_a_file_has_the_values_for_clusterctl_that_it_has_for_ansible(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text(FILE)
    sent = read_mapping(str(file))
    (tmp_path / "got.j2").write_text(
        f"{{% for name in {json.dumps(list(sent))} %}}\n"
        "{{ [name, '' ~ vars[name], vars[name] | type_debug] | to_json }}\n"
        "{% endfor %}\n"
    )
    playbook = tmp_path / "site.yml"
    playbook.write_text(f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - template: {{src: got.j2, dest: "{tmp_path}/got"}}
""")
    program = find_executable("ansible-playbook")
    assert program is not None
    subprocess.run([program, "-e", f"@{file}", str(playbook)], check=True, capture_output=True)
    for line in (tmp_path / "got").read_text().splitlines():
        name, text, kind = json.loads(line)
        value = sent[name]
        assert str("" if value is None and text == "" else value) == text, name
        if kind not in {"date", "datetime"}:
            assert type(value).__name__ == kind.removeprefix("_AnsibleTagged").lower() or kind == "NoneType", name


def test_harmless_variables_work_though_they_are_marked(service: Clusterm) -> None:
    variables = {
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "ansible_become_method": "sudo",
        "ansible_become_user": "root",
        "ansible_remote_tmp": str(service.root / "remote"),
        "ansible_shell_type": "sh",
        "ansible_user": "ann",
        "ansible_port": "2222",
    }
    assert service.post("/node/c-3/set", {"vars": variables}).is_success
    job = run(service, "c-3", f"{PLAY}    - ping:\n    - command: id\n")
    assert (job["status"], job["recap"]["c-3"]["ok"], job["recap"]["c-3"]["ignored"]) == ("Complete", 2, 0)
    assert (service.root / "remote").is_dir()
