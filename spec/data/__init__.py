"""From a user's files to batches of numbers, and back from numbers to answers.

config     the `data` part of a job spec
reading    files → Table (csv, parquet, npz, idx); preview shows its first rows
profile    what the columns hold, kept with the dataset
check      every problem of a spec with a profile, and describe: what the model will be fed
prepare    split, fit on the training rows, encode batch by batch
fitted     the stored state: raw rows → arrays, outputs → answers
"""
