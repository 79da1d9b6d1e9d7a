//! What a pattern needs for the few lines that are too much for the quick way, made of its tree when
//! the first of them comes.

use std::sync::OnceLock;

use super::backward::Backward;
use super::compile::compile;
use super::fast::{Fast, Origin};
use super::packed::Packed;
use super::program::Program;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) program: Program,
    /// The program's address of each instruction of the quick way.
    pub(super) origin: Origin,
    backward: OnceLock<Option<Box<Backward>>>,
}

impl Slow {
    pub(super) fn new(packed: &Packed) -> Slow {
        let program = compile(&packed.ast()).expect("what compiled once compiles again");
        let (_, origin) = Fast::new(&program);
        Slow { program, origin, backward: OnceLock::new() }
    }

    /// What reads a text from its end, if the program is not too large for that.
    pub(super) fn backward(&self) -> Option<&Backward> {
        let new = || Backward::new(&self.program).map(Box::new);
        self.backward.get_or_init(new).as_deref()
    }
}
