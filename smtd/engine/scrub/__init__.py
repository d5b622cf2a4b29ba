"""Read known records again although nothing says that they changed, to find edits and damage.

Three parts do so. Each look at a server reads some records again (`server`), as a server does not report
edits; it reads what smtd wrote there lately after some seconds (`rereads`). The daemon's scrubber compares
both stores of a pair, a slice at a time. `smtd verify` compares them whole (`verify`). `pace` decides what
is read when; the journal has how far that has come. A difference is synced by a cycle that reads these
records whatever the indexes say (*recheck*), or explained (`classify`), or reported as a finding.
"""
