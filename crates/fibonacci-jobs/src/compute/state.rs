//! A state on the way to F(n) as a file: what a computation in another process goes on from.
//!
//! A line that names the form, then numbers of 64 bits, lowest byte first: n, k, how many limbs F(k) has and how many
//! F(k+1), and the limbs of both, in base 10^18, lowest first.
//! It is believed if its BLAKE3 is the recorded one and both numbers agree with their index modulo the primes of the
//! certificate.

use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZero;

use durable_jobs::Failure;
use durable_jobs::artifact::{Durability, Unfinished, Writer, Written};
use durable_jobs::compute::{ProgressCallback, Stage};
use fibonacci::{DecimalDoubling, DecimalParts};

use super::digits::{StateFile, UNREADABLE, not_written};

/// The first line; it changes with the form.
const FORM: &[u8; 14] = b"abaci state 1\n";

/// The numbers before the limbs.
const HEADER_NUMBERS: usize = 4;

/// Limbs that are turned into bytes, or read, at once: a megabyte.
const PIECE_LIMBS: usize = 1 << 17;

/// Writes the state that a computation has reached.
///
/// # Errors
/// A retryable failure when it cannot be written or `watch` says stop; no file is left behind then.
pub(super) fn write(
    course: &DecimalDoubling,
    place: &Unfinished,
    watch: &ProgressCallback<'_>,
) -> Result<Written, Failure> {
    let parts = course.parts();
    let observe = |bytes| watch(Stage::Writing { bytes });
    place
        // A loss of power costs at most a computation that is made again, and flushing costs as much as many.
        .write(Durability::Cached, &observe, |file| {
            fill(file, course.target(), &parts)
        })
        .map_err(|error| not_written(place, &error))
}

fn fill(file: &mut Writer<'_>, n: u64, parts: &DecimalParts) -> io::Result<()> {
    file.write_all(FORM)?;
    let header = [n, parts.k, parts.value.len() as u64, parts.next.len() as u64];
    for limbs in [&header[..], &parts.value, &parts.next] {
        for piece in limbs.chunks(PIECE_LIMBS) {
            let bytes: Vec<u8> = piece.iter().flat_map(|limb| limb.to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Reads the state of a computation of F(n), which goes on with at most so many threads.
///
/// # Errors
/// A failure named [`UNREADABLE`] when the file is missing, was changed or is no state of F(n).
pub(super) fn read(n: u64, file: &StateFile, threads: NonZero<usize>) -> Result<DecimalDoubling, Failure> {
    let unreadable = |reason: String| {
        let path = file.path.display();
        Failure::retryable(UNREADABLE, format!("state {path}: {reason}"))
    };
    let parts = read_parts(n, file).map_err(|error| unreadable(error.to_string()))?;
    DecimalDoubling::from_parts(n, parts, threads).map_err(|error| unreadable(error.to_string()))
}

fn read_parts(n: u64, file: &StateFile) -> io::Result<DecimalParts> {
    let mut reader = Hashing {
        file: File::open(&file.path)?,
        hasher: blake3::Hasher::new(),
    };
    let wrong = |what: &str| io::Error::other(what.to_owned());
    let length = reader.file.metadata()?.len();
    let mut form = [0; FORM.len()];
    reader.read_exact(&mut form)?;
    let header = limbs(&mut reader, HEADER_NUMBERS as u64)?;
    let [target, k, value_limbs, next_limbs] = header[..] else {
        return Err(wrong("its header is not whole"));
    };
    // Checked before anything is allocated by what may be nonsense.
    let numbers = value_limbs
        .checked_add(next_limbs)
        .and_then(|limbs| limbs.checked_add(HEADER_NUMBERS as u64));
    let expected = numbers
        .and_then(|numbers| numbers.checked_mul(8))
        .and_then(|bytes| bytes.checked_add(FORM.len() as u64));
    if &form != FORM || target != n || expected != Some(length) {
        return Err(wrong("it is no state of this computation"));
    }
    let parts = DecimalParts {
        k,
        value: limbs(&mut reader, value_limbs)?,
        next: limbs(&mut reader, next_limbs)?,
    };
    // The length was right, so the numbers that were read are all the bytes of the file.
    if reader.hasher.finalize().to_hex().as_str() != file.blake3 {
        return Err(wrong("its BLAKE3 is not the recorded one; it was changed"));
    }
    Ok(parts)
}

/// Reads limbs, without room for more than a file has.
fn limbs(reader: &mut impl Read, count: u64) -> io::Result<Vec<u64>> {
    let count = usize::try_from(count).map_err(io::Error::other)?;
    let mut limbs = Vec::with_capacity(count);
    let mut bytes = vec![0; 8 * count.min(PIECE_LIMBS)];
    while limbs.len() < count {
        let piece = &mut bytes[..8 * (count - limbs.len()).min(PIECE_LIMBS)];
        reader.read_exact(piece)?;
        limbs.extend(piece.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
    }
    Ok(limbs)
}

/// Hashes what is read.
struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Read for Hashing {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::ControlFlow;

    use proptest::prelude::*;
    use testkit::TempDir;

    use super::*;
    use durable_jobs::compute::processors;

    /// Writes the state of F(n) after `steps` steps; says where, and what its file is.
    fn written(directory: &TempDir, n: u64, steps: usize) -> (DecimalDoubling, StateFile) {
        let mut course = DecimalDoubling::new(n);
        for _ in 0..steps {
            course.step(&fibonacci::unobserved).unwrap();
        }
        let place = Unfinished::new(directory.path());
        let written = write(&course, &place, &|_| ControlFlow::Continue(())).unwrap();
        let file = StateFile {
            path: place.path(),
            blake3: written.blake3,
        };
        (course, file)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_computation_goes_on_from_any_state(n in 0_u64..2_000_000, steps in 0_usize..24) {
            let directory = TempDir::new();
            let (course, file) = written(&directory, n, steps);
            let read = read(n, &file, processors()).unwrap();
            prop_assert_eq!(read.index(), course.index());
            let digits = read.finish(&fibonacci::unobserved).unwrap();
            prop_assert_eq!(digits, fibonacci::decimal_digits(n, &fibonacci::unobserved).unwrap());
        }

        #[test]
        fn a_flipped_bit_anywhere_is_noticed_by_the_hash_and_without_it(
            n in 10_000_u64..200_000,
            steps in 0_usize..10,
            flips in proptest::collection::vec(any::<proptest::sample::Index>(), 1..20),
        ) {
            let directory = TempDir::new();
            let (_, file) = written(&directory, n, steps);
            let sound = fs::read(&file.path).unwrap();
            for flip in flips {
                let mut bytes = sound.clone();
                let bit = flip.index(8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
                fs::write(&file.path, &bytes).unwrap();
                prop_assert!(read(n, &file, processors()).is_err(), "bit {} was believed", bit);
                let forged = StateFile { blake3: blake3::hash(&bytes).to_hex().to_string(), ..file.clone() };
                prop_assert!(read(n, &forged, processors()).is_err(), "bit {} was believed with its hash", bit);
            }
        }

        #[test]
        fn no_bytes_at_all_make_the_reader_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..200), is_formed: bool) {
            let directory = TempDir::new();
            let bytes = if is_formed { [&FORM[..], &bytes].concat() } else { bytes };
            let path = directory.path().join("state");
            fs::write(&path, &bytes).unwrap();
            let blake3 = blake3::hash(&bytes).to_hex().to_string();
            let file = StateFile { path, blake3 };
            prop_assert!(read(7, &file, processors()).is_err());
        }
    }

    #[test]
    fn a_state_of_another_number_or_no_file_is_unreadable() {
        let directory = TempDir::new();
        let (_, file) = written(&directory, 100_000, 3);
        assert_eq!(
            read(100_001, &file, processors()).err().map(|it| it.name),
            Some(UNREADABLE.to_owned())
        );
        fs::write(&file.path, &fs::read(&file.path).unwrap()[..100]).unwrap();
        assert_eq!(
            read(100_000, &file, processors()).err().map(|it| it.name),
            Some(UNREADABLE.to_owned())
        );
        fs::remove_file(&file.path).unwrap();
        assert_eq!(
            read(100_000, &file, processors()).err().map(|it| it.name),
            Some(UNREADABLE.to_owned())
        );
    }
}
