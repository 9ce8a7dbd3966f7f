"""Where the bytes of layers are kept: the protocol, which a folder on disk implements, and an object store can.

Nothing here knows of SQL. What the database has committed is found here; what is here and in no row is garbage, never damage. So a
name is written once and never again, and nothing is renamed, replaced or written to at an offset.

    place     the protocol
    local     a folder on a local disk
    tar       what a layer's tar says about itself, as it passes
    zstd      the module that decompresses zstd, whichever this Python has
    reading   a layer's stream as its plain tar, and stored bytes verified as they are read
"""
