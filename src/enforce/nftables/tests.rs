//! Against the running kernel.
