//! One ring of a model that others have, too: shards own theirs, and a world looks at all of them.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::ids::ConnKey;
use crate::engine::kernel::{Kernel, Operation};
use crate::kernel::model::Model;
use crate::kernel::ring::FilledBuffer;

pub(crate) struct SharedRing {
    pub(crate) model: Rc<RefCell<Model>>,
    pub(crate) ring: usize,
}

impl Kernel for SharedRing {
    type Buffer = FilledBuffer;

    fn begin(&mut self, key: ConnKey, operation: Operation) {
        self.model.borrow_mut().rings[self.ring].begin(key, operation);
    }

    fn bytes<'a>(&'a self, buffer: &'a FilledBuffer) -> &'a [u8] {
        &buffer.bytes
    }

    fn recycle(&mut self, buffer: FilledBuffer) {
        self.model.borrow_mut().rings[self.ring].recycle(buffer);
    }
}
