//! A package needs a target; everything here is in the test.
