//! The answer of a finished job.

use durable_jobs::artifact::{self, BucketAccess};
use durable_jobs::record::ArtifactRecord;
use fibonacci::DecimalCheck;
use serde::{Deserialize, Serialize};

use super::Algorithm;

/// Values of up to this many digits are kept in the row; longer ones are artifacts.
pub const INLINE_DIGITS: u64 = 10_000;

/// The recorded outcome of a job that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// The index of the number.
    pub n: u64,
    /// The algorithm that computed it.
    pub algorithm: Algorithm,
    /// F(n) in decimal; absent above [`INLINE_DIGITS`] digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The number of decimal digits of F(n).
    pub digits: u64,
    /// The first digits, at most 20.
    pub head: String,
    /// The last digits, at most 20.
    pub tail: String,
    /// Where the digits are kept when they are too many for the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactRecord>,
    /// The certificate that the value was checked against, and that anyone can check it against again.
    pub certificate: CertificateRecord,
    /// The time of the successful attempt of the computation, in seconds of wall time; with `stepwise`, what all its
    /// additions took, without their recording.
    pub seconds: f64,
    /// The process that computed it.
    pub pid: u32,
    /// The worker that computed it.
    pub executor_id: String,
    /// The number of claims of the job before this outcome.
    pub attempts: u32,
}

/// F(n) modulo three primes, its length and its hash: enough to notice any wrong digit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// The three 61-bit primes, as decimal strings.
    pub primes: [String; 3],
    /// F(n) modulo each of them, as decimal strings, computed without the value.
    pub residues: [String; 3],
    /// The number of decimal digits, computed without the value.
    pub digits: u64,
    /// BLAKE3 of the decimal digits, in hexadecimal.
    pub blake3: String,
}

/// Why a result is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The certificate does not belong to this index.
    #[error("the certificate is not that of F({n})")]
    Certificate {
        /// The index.
        n: u64,
    },
    /// There are no digits to check.
    #[error("the result of F({n}) has neither a value nor an artifact")]
    Absent {
        /// The index.
        n: u64,
    },
    /// The digits are not those of F(n).
    #[error("the digits received are not F({n}): {reason}")]
    Digits {
        /// The index.
        n: u64,
        /// The part that does not agree.
        reason: String,
    },
    /// The digits cannot be read.
    #[error(transparent)]
    Artifact(#[from] durable_jobs::Error),
}

impl JobResult {
    /// Checks the value against a certificate computed here and now, without trusting the one received.
    ///
    /// Where the digits are in an artifact, only the certificate is checked; see [`JobResult::verify_all`].
    ///
    /// # Errors
    /// [`VerifyError`] naming what does not agree.
    pub fn verify(&self) -> Result<(), VerifyError> {
        let expected = fibonacci::Certificate::for_index(self.n);
        if !self.certificate.agrees(&expected) || self.digits != expected.digits {
            return Err(VerifyError::Certificate { n: self.n });
        }
        match (&self.value, &self.artifact) {
            (Some(value), _) => self.verify_digits(value),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(VerifyError::Absent { n: self.n }),
        }
    }

    /// Checks a result, its digits included, against a certificate computed here and now, in constant memory.
    ///
    /// It blocks; see [`artifact::open`].
    ///
    /// # Errors
    /// [`VerifyError`] naming what does not agree, or why the digits cannot be read.
    pub fn verify_all(&self, access: &BucketAccess) -> Result<(), VerifyError> {
        self.verify()?;
        // `verify` has checked the digits in the row, and refused a result that has none anywhere.
        let (None, Some(record)) = (&self.value, &self.artifact) else {
            return Ok(());
        };
        let mut digits = DecimalCheck::new();
        artifact::read(record, access, |piece| digits.update(piece))?;
        // `read` has compared the bytes with this hash; now it is compared with the certificate's.
        self.verify_read(digits, &record.blake3)
    }

    /// Checks digits, wherever they came from, against the certificate and its hash.
    ///
    /// # Errors
    /// [`VerifyError::Digits`] naming what does not agree.
    pub fn verify_digits(&self, digits: &str) -> Result<(), VerifyError> {
        let mut read = DecimalCheck::new();
        read.update(digits.as_bytes());
        self.verify_read(read, blake3::hash(digits.as_bytes()).to_hex().as_str())
    }

    /// Checks digits that were read to their end and have this BLAKE3.
    fn verify_read(&self, digits: DecimalCheck, blake3: &str) -> Result<(), VerifyError> {
        let wrong = |reason: String| VerifyError::Digits { n: self.n, reason };
        digits
            .finish(&fibonacci::Certificate::for_index(self.n))
            .map_err(|mismatch| wrong(mismatch.to_string()))?;
        if blake3 != self.certificate.blake3 {
            return Err(wrong("their BLAKE3 is not the recorded one".to_owned()));
        }
        Ok(())
    }
}

impl CertificateRecord {
    /// Records a certificate with the hash of the digits that were checked against it.
    #[must_use]
    pub fn new(certificate: &fibonacci::Certificate, blake3: String) -> Self {
        Self {
            primes: fibonacci::Certificate::PRIMES.map(|prime| prime.to_string()),
            residues: certificate.residues.map(|residue| residue.to_string()),
            digits: certificate.digits,
            blake3,
        }
    }

    fn agrees(&self, expected: &fibonacci::Certificate) -> bool {
        // The hash cannot be known without the digits; it is compared where they are read.
        *self == Self::new(expected, self.blake3.clone())
    }
}
