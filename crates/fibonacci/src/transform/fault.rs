//! Faults of the machine, in test builds only: transforms that come out wrong.

use std::cell::RefCell;
use std::ops::Range;

use super::{Block, LANES};

/// The fault in one of the two results of a transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransformFault {
    /// One coefficient is 1 more than it should be.
    OneMore,
    /// All coefficients have the wrong sign.
    Negated,
    /// No coefficient is a number.
    NotANumber,
}

struct Plan {
    fault: TransformFault,
    /// The result that is spoiled.
    side: usize,
    transforms: Range<u32>,
    seen: u32,
    struck: u32,
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// Does `work` while transforms of this thread with these numbers, from 0 on, come out wrong on one side.
///
/// Also returns how many there were.
pub(crate) fn with_fault<T>(
    (fault, side): (TransformFault, usize),
    transforms: Range<u32>,
    work: impl FnOnce() -> T,
) -> (T, u32) {
    let plan = Plan {
        fault,
        side,
        transforms,
        seen: 0,
        struck: 0,
    };
    PLAN.set(Some(plan));
    let done = work();
    (done, PLAN.take().map_or(0, |plan| plan.struck))
}

/// Spoils the results of the thread's next transform, if that is planned.
pub(super) fn strike([first, second]: [&mut Vec<Block>; 2]) {
    PLAN.with_borrow_mut(|plan| {
        let Some(plan) = plan else { return };
        let blocks = if plan.side == 0 { first } else { second };
        if plan.transforms.contains(&plan.seen) && !blocks.is_empty() {
            plan.fault.spoil(blocks);
            plan.struck += 1;
        }
        plan.seen += 1;
    });
}

impl TransformFault {
    fn spoil(self, blocks: &mut [Block]) {
        if self == Self::OneMore {
            // Results come back times the number of complex numbers, so 1 is that many.
            let one = u32::try_from(blocks.len() * LANES).expect("tests are small");
            blocks[0].re[0] += f64::from(one);
            return;
        }
        let factor = if self == Self::Negated { -1.0 } else { f64::NAN };
        for value in blocks
            .iter_mut()
            .flat_map(|block| block.re.iter_mut().chain(&mut block.im))
        {
            *value *= factor;
        }
    }
}
