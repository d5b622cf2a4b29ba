# mypy: disable-error-code="import-not-found,import-untyped"
"""Write what DjangoRecordStore.save writes, for many records at once.

Sumatra needs 6 ms for each save, and more the more records there are; here 10,000 take seconds. Sumatra's own
models write the same rows, but without a check whether the records and their own rows (parameters, outputs)
exist already: they must be new.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any


def save_many_in_django(store: Any, project: str, records: list[Any]) -> None:
    """Save *records*, none of which the store may have, in one transaction."""
    from django.db import transaction

    models = store._get_models()
    with transaction.atomic(using=store._db_label):
        writer = _Writer(store, models)
        sets = ({"type": type(r.parameters).__name__, "content": str(r.parameters)} for r in records)
        parameters = writer.insert(models.ParameterSet, sets)
        rows = (writer.record_row(project, *pair) for pair in zip(records, parameters, strict=True))
        saved = list(zip(records, writer.insert(models.Record, rows), strict=True))
        writer.insert(models.DataKey, (row for pair in saved for row in output_rows(*pair)))
        for field, db_class in (
            ("input_data", "DataKey"),
            ("dependencies", "Dependency"),
            ("platforms", "PlatformInformation"),
        ):
            writer.link(field, db_class, saved)
        writer.tag(saved)


def output_rows(record: Any, record_id: int) -> Iterable[dict[str, Any]]:
    import json

    for key in record.output_data:
        yield {
            "path": key.path,
            "digest": key.digest,
            "creation": key.creation,
            "metadata": json.dumps(key.metadata, sort_keys=True),
            "output_from_record_id": record_id,
        }


class _Writer:
    def __init__(self, store: Any, models: Any) -> None:
        self._store = store
        self._models = models
        self._shared: dict[tuple[str, str, str], Any] = {}

    def insert(self, model: Any, rows: Iterable[dict[str, Any]]) -> list[int]:
        """Insert *rows* and return their keys, which continue those of the table."""
        manager = model._default_manager.using(self._store._db_label)
        last = manager.order_by("-pk").values_list("pk", flat=True).first() or 0
        made = [model(pk=last + number, **row) for number, row in enumerate(rows, 1)]
        manager.bulk_create(made, batch_size=50)
        self._count_on(model)
        return [one.pk for one in made]

    def _count_on(self, model: Any) -> None:
        """Make a database with separate counters, such as PostgreSQL, continue after the rows."""
        from django.core.management.color import no_style
        from django.db import connections

        connection = connections[self._store._db_label]
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
                cursor.execute(statement)

    def record_row(self, project: str, record: Any, parameters_id: int) -> dict[str, Any]:
        plain = (
            *("label", "reason", "duration", "outcome", "main_file", "version", "timestamp"),
            *("script_arguments", "user", "stdout_stderr", "diff", "repeats"),
        )
        shared = {
            "executable": "Executable",
            "repository": "Repository",
            "launch_mode": "LaunchMode",
            "datastore": "Datastore",
            "input_datastore": "Datastore",
        }
        return {
            **{name: getattr(record, name) for name in plain},
            **{name: self._get(kind, getattr(record, name)) for name, kind in shared.items()},
            "project_id": self._project(project),
            "parameters_id": parameters_id,
            "tags": ",".join(record.tags),
        }

    def link(self, field: str, db_class: str, saved: list[tuple[Any, int]]) -> None:
        """Insert the rows that say which *db_class* objects each record has in *field*."""
        column = f"{db_class.lower()}_id"
        rows = (
            {"record_id": record_id, column: self._get(db_class, value).pk}
            for record, record_id in saved
            for value in getattr(record, field)
        )
        self.insert(getattr(self._models.Record, field).through, rows)

    def tag(self, saved: list[tuple[Any, int]]) -> None:
        """Insert the rows of tags without blanks and commas, which are not split."""
        from django.contrib.contenttypes.models import ContentType

        names = sorted(set(itertools.chain.from_iterable(record.tags for record, _ in saved)))
        manager = self._models.Tag.objects.using(self._store._db_label)
        ids = {name: manager.get_or_create(name=name)[0].pk for name in names}
        content_type = ContentType.objects.get_for_model(self._models.Record)
        rows = (
            {"object_id": record_id, "content_type_id": content_type.pk, "tag_id": ids[name]}
            for record, record_id in saved
            for name in record.tags
        )
        self.insert(self._models.TaggedItem, rows)

    def _project(self, project: str) -> str:
        if ("Project", project, "") not in self._shared:
            self._shared["Project", project, ""] = self._store._get_db_project(project).pk
        return str(self._shared["Project", project, ""])

    def _get(self, db_class: str, value: Any) -> Any:
        """Return the row of *value*, for which Sumatra is asked only once."""
        asked = (db_class, type(value).__name__, repr(sorted(vars(value).items())))
        if asked not in self._shared:
            self._shared[asked] = self._store._get_db_obj(db_class, value)
        return self._shared[asked]
