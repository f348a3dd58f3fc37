"""What may have caused the differences between two jobs: changed playbooks, vars and versions."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from clusterm.errors import SecretsUnavailable
from clusterm.schemas import PlaybooksDiff, Provenance, ValueChange
from clusterm.secrets.encryption import VariableCipher
from clusterm.store import manifests, tables
from clusterm.store.jobs import decrypt_vars
from clusterm.store.manifests import ManifestContent


def compare(session: Session, before: tables.Job, after: tables.Job, cipher: VariableCipher) -> dict[str, Any]:
    """Return the members `playbooks`, `vars` and `versions` of the differences between two jobs."""
    contents = manifests.load(session, before.manifest), manifests.load(session, after.manifest)
    return {
        "playbooks": _playbooks(before, after, *contents),
        "vars": _vars(before, after, cipher),
        "versions": _versions(before, after, *contents),
    }


def _playbooks(
    before: tables.Job, after: tables.Job, old: ManifestContent | None, new: ManifestContent | None
) -> PlaybooksDiff:
    found = PlaybooksDiff(before=_provenance(before), after=_provenance(after))
    unknown = [job.id for job, shown in ((before, found.before), (after, found.after)) if not (shown and shown.digest)]
    if unknown:
        found.reason = f"the playbooks of job {' and job '.join(map(str, unknown))} are not known"
    elif not (old and new and old.files is not None and new.files is not None):
        if found.before and found.after and found.before.digest != found.after.digest:
            found.reason = f"the playbooks differ; names are kept of at most {manifests.MAX_FILES} files"
    else:
        changes, found.omitted = manifests.shorten(manifests.compare(old.files, new.files))
        found.added, found.changed, found.removed = changes
    return found


def _provenance(job: tables.Job) -> Provenance | None:
    return Provenance.model_validate(job.provenance) if job.provenance else None


def _vars(before: tables.Job, after: tables.Job, cipher: VariableCipher) -> list[ValueChange]:
    """Return the vars that differ. Secrets are compared, and shown masked."""
    try:
        old, new = decrypt_vars(before, cipher), decrypt_vars(after, cipher)
    except SecretsUnavailable:
        old, new = before.extra_vars, after.extra_vars
    return [
        ValueChange(name=name, before=before.extra_vars.get(name), after=after.extra_vars.get(name))
        for name in _differing(old, new)
    ]


def _versions(
    before: tables.Job, after: tables.Job, old: ManifestContent | None, new: ManifestContent | None
) -> list[ValueChange]:
    if old is None or new is None:
        return []
    versions = [
        {"ansible-core": (job.provenance or {}).get("ansible"), **content.collections}
        for job, content in ((before, old), (after, new))
    ]
    return [
        ValueChange(name=name, before=versions[0].get(name), after=versions[1].get(name))
        for name in _differing(*versions)
    ]


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of values that differ, or that only one of both has."""
    absent = object()
    return [name for name in {**before, **after} if before.get(name, absent) != after.get(name, absent)]
