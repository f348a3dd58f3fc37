"""How clusterctl prints settings."""

from support.factories import printed

from clusterctl.output.output import Document
from clusterctl.views import settings as setting_views


def test_settings_are_named_by_their_path() -> None:
    data = {"ansible": {"user": "root", "deep": {"list": [1, "é"], "empty": {}}}, "on": True}

    assert printed(Document(data, setting_views.settings)).splitlines() == [
        "NAME                VALUE",
        "ansible.user        root",
        'ansible.deep.list   [1, "é"]',
        "ansible.deep.empty  {}",
        "on                  true",
    ]
