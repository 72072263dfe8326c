//! Who may do what, and see what: every operation by every role, with every kind of defective token, on what is another
//! tenant's; and that a request which is refused leaves nothing behind.

mod bodies;
mod defects;
mod grpc;
mod matrix;
mod objects;
mod permissions;
mod requests;
mod traces;
