"""The classes of Sumatra 0.8.1 that a record names, and the modules that they live in.

Sumatra cannot load a record that names another one, and then cannot list the whole project.
"""

from __future__ import annotations

#: Class by the name that the executable bears; any other name is a plain Executable.
EXECUTABLES = {
    "Python": "PythonExecutable",
    "NEURON": "NEURONSimulator",
    "Matlab": "MatlabExecutable",
    "R": "RExecutable",
    "NEST": "NESTSimulator",
    "GENESIS": "GENESISSimulator",
}
REPOSITORIES = {
    "GitRepository": "sumatra.versioncontrol._git",
    "MercurialRepository": "sumatra.versioncontrol._mercurial",
    "SubversionRepository": "sumatra.versioncontrol._subversion",
    "BazaarRepository": "sumatra.versioncontrol._bazaar",
    "Repository": "sumatra.versioncontrol.base",
}
LAUNCH_MODES = dict.fromkeys(
    ("SerialLaunchMode", "SerialTqdmLaunchMode", "DistributedLaunchMode", "SlurmMPILaunchMode"),
    "sumatra.launch",
)
DATA_STORES = {
    "FileSystemDataStore": "sumatra.datastore.filesystem",
    "ArchivingFileSystemDataStore": "sumatra.datastore.archivingfs",
    "MirroredFileSystemDataStore": "sumatra.datastore.mirroredfs",
    "DavFsDataStore": "sumatra.datastore.davfs",
}
LANGUAGES = {
    name: f"sumatra.dependency_finder.{name}" for name in ("python", "neuron", "matlab", "r", "genesis")
}
