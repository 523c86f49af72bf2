//! What readers take of memory, in all threads together. Each test has the program to itself meanwhile, as
//! the numbers are those of the whole program.

mod allocator;
mod claims;
mod damage;
mod files;
#[path = "../common/png.rs"]
mod png;
