// Writes the initramfs of a test VM: a static busybox, the kernel's modules and guest-init.sh, as a cpio archive.

/** One regular file of the archive. */
export interface ArchiveFile {
  /** Path without a leading slash; its folders are made. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly executable?: boolean;
}

const REGULAR_FILE = 0o100000;
const FOLDER = 0o040000;

/** Packs the files in the "newc" cpio format, the one that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function packInitramfs(files: readonly ArchiveFile[]): Buffer {
  const parts: Buffer[] = [];
  const folders = new Set<string>();
  let inode = 1;
  const add = (path: string, mode: number, bytes: Buffer): void => {
    parts.push(
      cpioHeader(path, mode, inode++, bytes.length),
      padding(110 + Buffer.byteLength(path) + 1),
      bytes,
      padding(bytes.length),
    );
  };
  for (const file of files) {
    const steps = file.path.split('/').slice(0, -1);
    for (let depth = 1; depth <= steps.length; depth++) {
      const folder = steps.slice(0, depth).join('/');
      if (folders.has(folder)) continue;
      folders.add(folder);
      add(folder, FOLDER | 0o755, Buffer.alloc(0));
    }
    add(file.path, REGULAR_FILE | (file.executable ? 0o755 : 0o644), file.bytes);
  }
  add('TRAILER!!!', 0, Buffer.alloc(0));
  return Buffer.concat(parts);
}

/** A header is the magic and 13 numbers of eight hexadecimal digits, then the name with its NUL. */
function cpioHeader(path: string, mode: number, inode: number, sizeBytes: number): Buffer {
  const nameBytes = Buffer.byteLength(path) + 1;
  // inode, mode, uid, gid, links, mtime, size, device (major, minor), device named by a node (major, minor), name size, checksum.
  const numbers = [inode, mode, 0, 0, 1, 0, sizeBytes, 0, 0, 0, 0, nameBytes, 0];
  return Buffer.from(`070701${numbers.map(number => number.toString(16).padStart(8, '0')).join('')}${path}\0`);
}

/** Names and contents are padded to four bytes. */
function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
