//! The residue of a long number in any base.

use std::array::from_fn;

use crate::montgomery::Montgomery;

/// Places that are joined before they are reduced: below 2^56 in the widest base.
const JOINED: usize = 4;

/// Independent sums, since a single one would wait for its own result most of the time.
const SUMS: usize = 4;

/// The number that places write, modulo a prime.
pub(super) fn residue(places: &[i16], base: i32, field: &Montgomery) -> u64 {
    let shift = field.form(u64::from(base.unsigned_abs()).pow(4));
    let base = i64::from(base);
    let reduced = |places: &[i16]| {
        let sum = places
            .iter()
            .rev()
            .fold(0, |above, place| above * base + i64::from(*place));
        field.signed(sum)
    };
    let (groups, top) = places.as_chunks::<JOINED>();
    let append = |above: u64, group: &[i16; JOINED]| field.add(field.mul(above, shift), reduced(group));
    let quarter = groups.len() / SUMS;
    let (quarters, rest) = groups.split_at(quarter * SUMS);
    let lanes: [&[_]; SUMS] = from_fn(|lane| &quarters[lane * quarter..][..quarter]);
    let mut sums = [0; SUMS];
    let lanes = lanes[0].iter().zip(lanes[1]).zip(lanes[2]).zip(lanes[3]);
    // From the top down in every lane, since `append` shifts what is above.
    for (((a, b), c), d) in lanes.rev() {
        sums[0] = append(sums[0], a);
        sums[1] = append(sums[1], b);
        sums[2] = append(sums[2], c);
        sums[3] = append(sums[3], d);
    }
    let above = rest.iter().rev().fold(reduced(top), append);
    let scale = field.power(shift, quarter);
    sums.iter()
        .rev()
        .fold(above, |above, sum| field.add(field.mul(above, scale), *sum))
}
