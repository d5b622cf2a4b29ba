"""The classes of Sumatra 0.8.1 that a record can name, and their modules.

Sumatra cannot load a record that names another class, and then cannot list the whole project.
"""

from __future__ import annotations

#: The class for each name of an executable; with any other name it is a plain Executable.
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
#: The arguments of Sumatra's constructors: the required ones, and the optional ones.
ARGUMENTS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "SerialLaunchMode": (frozenset(), frozenset({"working_directory", "options"})),
    "SerialTqdmLaunchMode": (frozenset(), frozenset({"working_directory", "options"})),
    "DistributedLaunchMode": (
        frozenset(),
        frozenset({"n", "mpirun", "hosts", "options", "pfi_path", "working_directory"}),
    ),
    "SlurmMPILaunchMode": (frozenset(), frozenset({"n", "mpirun", "working_directory", "options"})),
    "FileSystemDataStore": (frozenset({"root"}), frozenset()),
    "ArchivingFileSystemDataStore": (frozenset({"root"}), frozenset({"archive"})),
    "MirroredFileSystemDataStore": (frozenset({"root", "mirror_base_url"}), frozenset()),
    "DavFsDataStore": (frozenset({"root", "dav_url"}), frozenset({"dav_user", "dav_pw"})),
}

LANGUAGES = {
    name: f"sumatra.dependency_finder.{name}" for name in ("python", "neuron", "matlab", "r", "genesis")
}
