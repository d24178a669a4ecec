//! What only some may know: compared without telling of it, and overwritten when it is done with.

/// A secret that only httpd, the supervisor and one group's workers know.
pub type Secret = [u8; 32];

/// Whether two secrets are the same; takes as long wherever they differ.
pub fn is_equal(one: &Secret, other: &Secret) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other));
    // The compiler could stop at the first byte that differs if it knew what the sum is for.
    std::hint::black_box(difference) == 0
}

/// Overwrites bytes that nobody is to find.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Memory that is never looked at again might not be written otherwise.
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_only_if_each_bit_is() {
        let secret: Secret = std::array::from_fn(|index| index as u8);
        assert!(is_equal(&secret, &secret.clone()));
        for bit in 0..8 * secret.len() {
            let mut other = secret;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_equal(&secret, &other), "bit {bit}");
        }
        // Differences do not make up for each other.
        let mut other = secret;
        (other[0], other[1]) = (secret[0] ^ 1, secret[1] ^ 1);
        assert!(!is_equal(&secret, &other));
    }

    #[test]
    fn nothing_is_left_of_what_is_wiped() {
        let mut bytes = *b"never-to-be-seen";
        wipe(&mut bytes[1..]);
        assert_eq!(bytes, *b"n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
