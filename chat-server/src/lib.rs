//! The bundled chat server: API, channels, storage, connections, fan-out.
