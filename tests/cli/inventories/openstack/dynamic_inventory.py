#!/usr/bin/env python3
"""Prints an inventory as that of OpenStack-Ansible: hosts, and containers on them, in many groups."""

import json

HOSTS = {
    "infra1": {"ansible_host": "172.29.236.11", "is_metal": True},
    "compute1": {"ansible_host": "172.29.236.12", "is_metal": True},
    "infra1_galera_container-5b1f8bcd": {
        "ansible_host": "172.29.239.60",
        "container_name": "infra1_galera_container-5b1f8bcd",
        "container_networks": {"management_address": {"address": "172.29.239.60", "bridge": "br-mgmt"}},
        "container_tech": "lxc",
        "physical_host": "infra1",
        "properties": {"service_name": "galera"},
    },
}

print(
    json.dumps(
        {
            "_meta": {"hostvars": HOSTS},
            "all": {"vars": {"container_cidr": "172.29.236.0/22", "tunnel_bridge": "br-vxlan"}},
            "compute_hosts": {"hosts": ["compute1"]},
            "shared-infra_hosts": {"hosts": ["infra1"]},
            "infra1-host_containers": {"hosts": ["infra1_galera_container-5b1f8bcd"]},
            "galera_container": {"hosts": ["infra1_galera_container-5b1f8bcd"]},
            "galera_all": {"children": ["galera_container"]},
            "hosts": {"children": ["compute_hosts", "shared-infra_hosts"]},
        }
    )
)
