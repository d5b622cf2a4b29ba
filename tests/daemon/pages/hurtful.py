"""Records that are made to hurt whoever shows them."""

from __future__ import annotations

from smtd.records.record import Dependency, Parameters, Record
from tests.build import full

SCRIPT = "<script>document.title='hurt'</script><img src=x onerror=alert(1)>"
#: A right-to-left override, an escape sequence, and what a template or a format would fill in.
CONTROL = "\u202egnp.exe\u2066 \x1b[31mred\x07 {{ 7 * 7 }} %s {0} \u200b"
LABEL = f"a/b 'x' \"y\" & <b>{CONTROL}"


def hurtful(label: str = LABEL, **changes: object) -> Record:
    """Return a record with markup, control characters and five megabytes of output."""
    return full(
        label,
        **{
            "reason": SCRIPT + CONTROL,
            "outcome": f"</textarea>{SCRIPT}\n{CONTROL}",
            "diff": f"- {SCRIPT}\n+ {CONTROL}\n" * 50,
            "tags": frozenset({"_finished_", SCRIPT}),
            "parameters": Parameters("SimpleParameterSet", f'x = "{SCRIPT}"'),
            "dependencies": tuple(
                Dependency("python", f"{SCRIPT}{n}", "/x", "1", CONTROL) for n in range(50)
            ),
            "stdout_stderr": f"{SCRIPT}{CONTROL}\n" * 60_000,
            **changes,
        },
    )
