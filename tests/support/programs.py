"""Playbooks, and programs that run in the place of ansible-playbook."""

PASSING = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.debug:
        msg: "hello from {{ node_name }}"
"""

SCRIPTED = """
import json, pathlib, sys, time

def argument(option):
    return sys.argv[sys.argv.index(option) + 1]

def unmarked(values):
    return values.get("__ansible_unsafe", values)

extra_vars = json.loads(pathlib.Path(argument("--extra-vars")[1:]).read_text(), object_hook=unmarked)
inventory = json.loads(pathlib.Path(argument("--inventory")).read_text(), object_hook=unmarked)
given = json.dumps({"arguments": sys.argv[1:], "extra_vars": extra_vars, "inventory": inventory})
job = pathlib.Path(argument("--extra-vars")[1:]).parent.name
pathlib.Path(f"given-{job}.json").write_text(given)
print(given)
for number in range(1, extra_vars.get("lines", 0) + 1):
    print(f"line {number}", flush=number % 100 == 0)
sys.stdout.flush()
while "until" in extra_vars and not pathlib.Path(extra_vars["until"]).exists():
    time.sleep(0.01)
sys.exit(extra_vars.get("status", 0))
"""
"""Stands in for ansible-playbook. Writes what it was given as its first line, and into a file beside the playbooks,
then does what the extra vars say: write so many numbered `lines`, wait `until` a file exists, end with a `status`."""

COUNTING = """
import pathlib, time
number = 0
while not pathlib.Path("enough").exists():  # beside the playbooks
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.02)
"""
"""Stands in for ansible-playbook. Writes numbered lines until the file `enough` is there."""

PLAYBOOK = """
- name: Provision
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Say hello
      ansible.builtin.debug:
        msg: hello

    - name: Ask twice
      ansible.builtin.command: "false"
      register: asked
      until: asked.rc == 0
      retries: 2
      delay: 0
      ignore_errors: true
      when: node_name == "a-1"

    - name: Probing
      block:
        - name: Probing deeper
          block:
            - name: Probe
              ansible.builtin.include_tasks: probe.yml
          always:
            - name: Tidy up
              ansible.builtin.debug:
      rescue:
        - name: Repair
          ansible.builtin.command: "true"

    - name: Set a password
      ansible.builtin.command: "echo hunter2 {{ word }}"
      no_log: true
      failed_when: false

    - name: Say hello
      ansible.builtin.command: sleep {{ pause | default(0) }}
      changed_when: changes | default(false)

    - name: Wait
      ansible.builtin.wait_for:
        path: "{{ until }}"
      when: until is defined and node_name == "b-2"

    - name: Mount
      ansible.builtin.fail:
        msg: "disk /dev/sdb is missing, says {{ word }}"
      when: broken | default(false) and node_name == "b-2"
"""

PROBE = """
- name: Probe more
  ansible.builtin.command: test {{ node_name }} != a-1
"""
"""A playbook that has something of everything, and what it includes."""
