"""What nothing holds: ``gc``."""

from __future__ import annotations

import click

from imagestore.cli.errors import tell
from imagestore.cli.location import Location
from imagestore.cli.output import format_option, write_json_lines, write_table
from imagestore.cli.sizes import human_size


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what there is to remove.")
@format_option
@click.pass_obj
def gc(location: Location, dry_run: bool, format_: str) -> None:
    """Remove layers that nothing holds any more, and their bytes.

    Images hold their layers, and leases what is being written; images are never removed. Others may use the store meanwhile.

    \b
    Examples:
      imagestore gc --dry-run
      imagestore gc
    """
    from imagestore.verify import lacks_content

    with location.open(with_content=True) as store:
        found = store.collect(dry_run=dry_run)
        is_unseen = store.content is None and (found.contents > 0 or lacks_content(store))
    if format_ == "json":
        write_json_lines(
            [
                {
                    "Leases": found.leases,
                    "Layers": found.layers,
                    "Contents": found.contents,
                    "Files": found.files,
                    "Size": found.size,
                }
            ]
        )
    else:
        row = [str(found.leases), str(found.layers), str(found.contents), str(found.files), human_size(found.size)]
        write_table(["LEASES", "LAYERS", "CONTENTS", "FILES", "SIZE"], [row])
    if is_unseen:
        tell("their files were not looked for: name the folder that has them with --content")
