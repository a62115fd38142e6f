//! One request, one reply.
