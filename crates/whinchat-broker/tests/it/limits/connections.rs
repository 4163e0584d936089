//! L-2, L-4, L-13, L-14, L-16, L-17 and L-20: who may be there.
