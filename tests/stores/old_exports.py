"""A record in the form that each version of Sumatra exports."""

from __future__ import annotations

from typing import Any

SHA1 = "6cf2d5a01ea5ce8d7b6dbd6a8e0a4b3bd2b0b2a1"
OUT: dict[str, Any] = {"path": "out.csv", "digest": SHA1, "metadata": {"mimetype": "text/csv", "size": 45}}
NUMPY = {"module": "python", "name": "numpy", "path": "/opt/numpy", "version": "1.7", "diff": ""}
NODE = {
    "architecture_bits": "64bit",
    "architecture_linkage": "ELF",
    "machine": "x86_64",
    "processor": "",
    "network_name": "node",
    "ip_addr": "192.0.2.1",
    "release": "3.2",
    "system_name": "Linux",
    "version": "#1",
}
#: The form of Sumatra 0.2; each later version has this and more.
OLDEST: dict[str, Any] = {
    "label": "run",
    "timestamp": "2012-07-01 12:00:00",
    "reason": "why",
    "duration": 2.5,
    "executable": {"path": "/usr/bin/python", "version": "2.7.3", "name": "Python"},
    "repository": {"url": "/code", "type": "GitRepository"},
    "main_file": "main.py",
    "version": "5f6221aa3a14",
    "parameters": {"content": "seed = 1", "type": "SimpleParameterSet"},
    "launch_mode": {"type": "SerialLaunchMode", "parameters": "{}"},
    "datastore": {"type": "FileSystemDataStore", "parameters": "{'root': u'/data'}"},
    "outcome": "42",
    "data_key": "[u'out.csv']",
    "tags": ["foo", "bar"],
    "diff": "",
    "dependencies": [NUMPY],
    "platforms": [NODE],
}
V03 = {**OLDEST, "input_data": "['in.csv']", "script_arguments": "-v", "user": "Ada"}
V03["executable"] = {**OLDEST["executable"], "options": "-O"}
V04 = {
    **{name: value for name, value in V03.items() if name != "data_key"},
    "launch_mode": {"type": "SerialLaunchMode", "parameters": {}},
    "datastore": {"type": "FileSystemDataStore", "parameters": {"root": "/data"}},
    "input_datastore": {"type": "FileSystemDataStore", "parameters": {"root": "/input"}},
    "input_data": [],
    "output_data": [OUT],
    "stdout_stderr": "hello\n",
}
V05 = {
    **V04,
    "repository": {**OLDEST["repository"], "upstream": "https://code.lab.example/c"},
    "dependencies": [{**NUMPY, "source": "attribute"}],
}
V06 = {**V05, "repeats": None}
V07 = {**V06, "output_data": [{**OUT, "creation": "2012-07-01 12:00:03"}]}
V08 = {
    **V07,
    "timestamp": "2012-07-01 10:00:00+0000",
    "output_data": [{**OUT, "creation": "2012-07-01 10:00:03+0000"}],
    "tags": ["_finished_", "bar", "foo"],
}
SHAPES = {"0.2": OLDEST, "0.3": V03, "0.4": V04, "0.5": V05, "0.6": V06, "0.7": V07, "0.8": V08}
