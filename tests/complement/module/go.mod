// Nothing is built of this module: it pins Complement, whose test programs tests/complement/programs.py builds.
module hearth/complement

go 1.22

require github.com/matrix-org/complement v0.0.0-20240925142218-911d7d39773a
