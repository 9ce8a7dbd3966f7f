"""Archives of images: moby's Exporter, what ``docker save`` and ``docker load`` read and write, and OCI image layouts.

loading         an archive into a store
inspecting      what is in an archive, without loading it
taking          what the readers of the formats hand images to
formats         which of them an archive has
docker          what is in docker's archives: manifest.json, and the layout before 1.10
oci             what is in an OCI image layout; its documents in descriptors, the choice among platforms in platforms
source          an archive as a tree of files, from a file, a pipe or a folder
bodies          the bytes of these files
tree            where a name leads, as the daemon would have unpacked it
tar             its members, safely
messages        what a load tells of itself
exporter        both as moby's Exporter
limits          how much an archive may ask for
saving          images into an archive
docker_members  what is in docker's archive that is saved
layout          what is in an OCI image layout that is saved
selection       which images those are, and what keeps their layers meanwhile
writing         a tar as the daemon writes one
whole_file      a file that is there whole or not at all
"""

from imagestore.archive.exporter import Exporter, TarExporter
from imagestore.archive.inspecting import InspectedImage, InspectedLayer, Inspection, Problem, inspect
from imagestore.archive.limits import Limits
from imagestore.archive.loading import LoadedImage, load
from imagestore.archive.messages import Line, Progress
from imagestore.archive.saving import save, save_to

__all__ = [
    "Exporter",
    "InspectedImage",
    "InspectedLayer",
    "Inspection",
    "Limits",
    "Line",
    "LoadedImage",
    "Problem",
    "Progress",
    "TarExporter",
    "inspect",
    "load",
    "save",
    "save_to",
]
