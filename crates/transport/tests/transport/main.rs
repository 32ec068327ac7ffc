//! Encrypted connections over loopback: both ends ours, and one another's.

mod openssl;
mod tls;
