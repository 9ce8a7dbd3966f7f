"""Archives of images: moby's Exporter, what ``docker save`` and ``docker load`` read and write, and OCI image layouts.

loading     an archive into a store
docker      what is in docker's archives: manifest.json, and the layout before 1.10
oci         what is in an OCI image layout
source      an archive as a tree of files, from a file, a pipe or a folder
tree        where a name leads, as the daemon would have unpacked it
tar         its members, safely
limits      how much an archive may ask for
saving      images into an archive, and what is in docker's
layout      what is in an OCI image layout that is saved
selection   which images those are, and what keeps their layers meanwhile
writing     a tar as the daemon writes one
whole_file  a file that is there whole or not at all
"""

from imagestore.archive.saving import save, save_to

__all__ = ["save", "save_to"]
