//! What a producer is told: one table of keys is the source of parser, defaults and documentation.
