"""What tests of eventflow applications and triggers need: a virtual clock, a target that records, and the contract of triggers."""
