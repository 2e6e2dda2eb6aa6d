"""Recordings: ticks in a file, each with the time at which it came.

A row has `time_ns` (arrival, ns since the epoch), `topic` (`NSE_RELIANCE_QUOTE`, as on the bus),
`exchange` and `symbol` (as they were subscribed) and `data` (the feed's JSON object). The name of a
file tells how its rows are kept:

    .jsonl        a JSON object a line
    .jsonl.zst    the same, compressed with zstd
    .parquet      a table with these columns; `data` is text. It needs pyarrow

Only `time_ns`, `topic` and `data` are needed to play one, and files of lines may be put one behind
the other with `cat`. What was written up to the last flush can be read, also when the writer was
killed: a last line that is not whole is left out.

`rows` is one row, `write` and `read` are files, `pace` is when which row is due, `player` plays.
"""
