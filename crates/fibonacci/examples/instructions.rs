//! Prints the sets of vector instructions that this processor has, the widest first, one a line.

fn main() {
    for instructions in fibonacci::available_instructions() {
        println!("{instructions}");
    }
}
