//! Every Fibonacci number that fits 128 bits, computed by the compiler.

/// The largest n with F(n) < 2^128.
pub(crate) const TABLE_MAX_N: u64 = 186;

static TABLE: [u128; 187] = {
    let mut table = [0; 187];
    table[1] = 1;
    let mut n = 2;
    while n < table.len() {
        table[n] = table[n - 1] + table[n - 2];
        n += 1;
    }
    table
};

/// Returns F(n) for n ≤ 186, `None` above.
pub(crate) fn small(n: u64) -> Option<u128> {
    usize::try_from(n).ok().and_then(|n| TABLE.get(n)).copied()
}
