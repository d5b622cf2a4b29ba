"""Read again what is known, though nothing says that it changed: so edits and damage show that no look sees.

Three ask for it. A cycle has some records of a server read again in each look (`server`), as a server does
not tell of edits; what smtd wrote there lately is looked at after some seconds (`rereads`). The daemon's
scrubber compares both stores of a pair, a slice at a time, and `verify` compares them whole (`verify`). When
what has its turn is in `pace`; how far that has come is in the journal. What differs is either carried by a
cycle that reads these records whatever the indexes say (*recheck*), or explained (`classify`), or a finding.
"""
