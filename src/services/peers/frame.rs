//! Frames between nodes: four bytes that say how long a frame is, and the frame. Knows no content.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame. What is known of 500 users with every device that their policy allows has under 500 KiB.
pub(crate) const FRAME_BYTES_MAX: u32 = 1 << 20;

/// The longest frame of a peer that has not proven who it is.
pub(crate) const UNPROVEN_BYTES_MAX: u32 = 256;

/// Reads one frame, of `bytes_max` at most; `None` at a clean end.
///
/// # Errors
/// If the connection fails, ends within a frame, or a frame is too long.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin), bytes_max: u32) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length);
    if length > bytes_max {
        let text = format!("a frame of {length} bytes, of which {bytes_max} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

/// Appends a frame to what is to be written.
pub(crate) fn put(out: &mut Vec<u8>, frame: &impl prost::Message) {
    let length = u32::try_from(frame.encoded_len()).expect("a frame is far shorter");
    out.extend(length.to_be_bytes());
    frame.encode(out).expect("a vector takes all bytes");
}

/// Writes one frame out.
///
/// # Errors
/// If the connection fails.
pub(crate) async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &impl prost::Message) -> io::Result<()> {
    let mut bytes = Vec::new();
    put(&mut bytes, frame);
    to.write_all(&bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(mut bytes: &[u8], bytes_max: u32) -> io::Result<Option<Vec<u8>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(&mut bytes, bytes_max))
    }

    #[test]
    fn a_frame_is_read_as_it_was_put() {
        let mut bytes = Vec::new();
        put(&mut bytes, &"hello".to_owned());
        assert_eq!(bytes[..4], [0, 0, 0, 7]);
        assert_eq!(read_all(&bytes, 7).unwrap().unwrap(), bytes[4..]);
        assert_eq!(
            read_all(&bytes, 6).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(
            read_all(&bytes[..8], 7).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(read_all(&[], 7).unwrap(), None);
    }
}
