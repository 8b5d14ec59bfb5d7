//! Numbers as people write them.

/// A count with its thousands set apart by commas: `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let told = [0, 999, 1_000, 99_999, 1_234_567, u64::MAX].map(grouped);
        assert_eq!(told, ["0", "999", "1,000", "99,999", "1,234,567", "18,446,744,073,709,551,615"]);
    }
}
