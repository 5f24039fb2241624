//! plainsight: which callers would break under STRICT.
