import { constants } from 'node:os'
import koffi from 'koffi'

/**
 * The system calls that Node has no door to, and nothing else (the name service's are in names/lookup.ts, native threads are
 * in native-thread.ts). All of them are non-blocking, if `close` is only given what is ours. Buffers are passed by address,
 * because an address costs nothing per call: whoever takes an address keeps the buffer alive (see `Memory`).
 */
const libc = koffi.load(null)

export const epollCreate = libc.func('int epoll_create1(int)') as (flags: number) => number
export const epollControl = libc.func('int epoll_ctl(int, int, int, uintptr_t)') as (
  epfd: number,
  op: number,
  fd: number,
  event: number
) => number
export const epollWait = libc.func('int epoll_wait(int, uintptr_t, int, int)') as (
  epfd: number,
  events: number,
  max: number,
  timeoutMs: number
) => number

export const socket = libc.func('int socket(int, int, int)') as (family: number, type: number, proto: number) => number
export const bind = libc.func('int bind(int, uintptr_t, uint32_t)') as (fd: number, at: number, len: number) => number
export const listen = libc.func('int listen(int, int)') as (fd: number, backlog: number) => number
export const connect = libc.func('int connect(int, uintptr_t, uint32_t)') as (
  fd: number,
  at: number,
  len: number
) => number
export const accept4 = libc.func('int accept4(int, uintptr_t, uintptr_t, int)') as (
  fd: number,
  at: number,
  lenAt: number,
  flags: number
) => number
const getsockopt = libc.func('int getsockopt(int, int, int, uintptr_t, uintptr_t)') as (
  fd: number,
  level: number,
  name: number,
  at: number,
  lenAt: number
) => number
export const setsockopt = libc.func('int setsockopt(int, int, int, uintptr_t, uint32_t)') as (
  fd: number,
  level: number,
  name: number,
  at: number,
  len: number
) => number
export const getsockname = libc.func('int getsockname(int, uintptr_t, uintptr_t)') as (
  fd: number,
  at: number,
  lenAt: number
) => number

export const getpeername = libc.func('int getpeername(int, uintptr_t, uintptr_t)') as (
  fd: number,
  at: number,
  lenAt: number
) => number

export const recv = libc.func('intptr_t recv(int, uintptr_t, size_t, int)') as (
  fd: number,
  at: number,
  len: number,
  flags: number
) => number
export const send = libc.func('intptr_t send(int, uintptr_t, size_t, int)') as (
  fd: number,
  at: number,
  len: number,
  flags: number
) => number
/** As `send`, for bytes whose address is not known beforehand. */
export const sendBytes = libc.func('intptr_t send(int, void *, size_t, int)') as (
  fd: number,
  bytes: Uint8Array,
  len: number,
  flags: number
) => number

export const recvmsg = libc.func('intptr_t recvmsg(int, uintptr_t, int)') as (
  fd: number,
  message: number,
  flags: number
) => number
export const sendmsg = libc.func('intptr_t sendmsg(int, uintptr_t, int)') as (
  fd: number,
  message: number,
  flags: number
) => number

/** Moves bytes from or to a pipe within the kernel. Offsets are 0: sockets and pipes have none. */
export const splice = libc.func('intptr_t splice(int, uintptr_t, int, uintptr_t, size_t, uint32_t)') as (
  from: number,
  fromOffsetAt: number,
  to: number,
  toOffsetAt: number,
  len: number,
  flags: number
) => number
export const read = libc.func('intptr_t read(int, uintptr_t, size_t)') as (fd: number, at: number, len: number) => number

export const shutdown = libc.func('int shutdown(int, int)') as (fd: number, how: number) => number
export const ioctl = libc.func('int ioctl(int, unsigned long, uintptr_t)') as (
  fd: number,
  request: number,
  at: number
) => number
export const statx = libc.func('int statx(int, uintptr_t, int, uint32_t, uintptr_t)') as (
  fd: number,
  pathAt: number,
  flags: number,
  mask: number,
  at: number
) => number

/** Ends the process whatever its threads are doing. */
export const exitAtOnce = libc.func('void _exit(int)') as (status: number) => void
export const close = libc.func('int close(int)') as (fd: number) => number
export const dup3 = libc.func('int dup3(int, int, int)') as (from: number, to: number, flags: number) => number
/** `mode` counts where the file is made. */
export const openat = libc.func('int openat(int, str, int, uint32_t)') as (
  directory: number,
  name: string,
  flags: number,
  mode: number
) => number
const pipe2 = libc.func('int pipe2(uintptr_t, int)') as (at: number, flags: number) => number
export const umask = libc.func('uint32_t umask(uint32_t)') as (mask: number) => number

/** Operations that take a number. */
export const fcntl = libc.func('int fcntl(int, int, int)') as (fd: number, op: number, value: number) => number
/** `F_SETLK` with a `struct flock`: the lock of the pid file. */
export const fcntlLock = libc.func('int fcntl(int, int, uintptr_t)') as (fd: number, op: number, at: number) => number

const syscall = libc.func('long syscall(long, long, long, long)') as (number: number, a: number, b: number, c: number) => number

/** Programs that are started from now on get none of our descriptors from this one on, whoever has opened them. */
export function closeOnExecFrom(fd: number): void {
  // Not in every libc, and not in kernels before 5.11.
  syscall(SYS_CLOSE_RANGE, fd, 0xffffffff, CLOSE_RANGE_CLOEXEC)
}

const strerror = libc.func('const char *strerror(int)') as (errno: number) => string

/** The errno of the last call of this thread. */
export const errno = (): number => koffi.errno()
/** The system's own words for an errno, e.g. `No such file or directory`. */
export const errorText = (code: number): string => strerror(code)

/** What the system says of an error of Node's. */
export const reasonOf = (error: unknown): string => errorText(-((error as NodeJS.ErrnoException).errno ?? 0))

export const { EAGAIN, EINTR, EMFILE, ENFILE, ENOENT, EPERM, ECONNABORTED, EADDRINUSE, EADDRNOTAVAIL } = constants.errno
export const { ECONNREFUSED, ECONNRESET, EPIPE, EIO, ETIMEDOUT, ENAMETOOLONG, EAFNOSUPPORT, EPROTOTYPE } = constants.errno

/** Linux values; they are the same on every architecture that libvirt's daemons and Node both run on. */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
export const MSG_PEEK = 0x02
export const MSG_CTRUNC = 0x08
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
export const MSG_CMSG_CLOEXEC = 0x40000000
export const SCM_RIGHTS = 1
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_TYPE = 3
export const SO_SNDBUF = 7
export const SO_OOBINLINE = 10
export const SO_PEERCRED = 17
export const SO_ACCEPTCONN = 30
export const SO_PEERSEC = 31
export const SO_SNDBUFFORCE = 32
export const F_SETFD = 2
export const FD_CLOEXEC = 1
export const F_GETFL = 3
export const F_SETFL = 4
export const F_SETPIPE_SZ = 1031
export const SHUT_RD = 0
export const SHUT_RDWR = 2
/** The most descriptors that one message can carry. */
export const SCM_MAX_FD = 253
export const FIONREAD = 0x541b
const SYS_CLOSE_RANGE = 436
const CLOSE_RANGE_CLOEXEC = 4
export const AT_EMPTY_PATH = 0x1000
export const AT_STATX_DONT_SYNC = 0x4000
export const IPPROTO_TCP = 6
export const TCP_NODELAY = 1
export const TCP_INFO = 11
export const IPPROTO_IPV6 = 41
export const IPV6_V6ONLY = 26

/**
 * Memory with an address that does not change: outside V8's heap (which a small typed array is not), alive as long as
 * this object is. Losing the object while its address is in use corrupts the process.
 */
export class Memory {
  readonly bytes: Buffer
  readonly address: number

  constructor(size: number) {
    this.bytes = Buffer.from(new ArrayBuffer(size))
    this.address = Number(koffi.address(this.bytes))
    pinned.push(this)
  }
}

/** Memory lives as long as its thread: it is made a few times, for the thread's fixed buffers. */
const pinned: Memory[] = []

const small = new Memory(256)

export function setIntOption(fd: number, level: number, name: number, value: number): boolean {
  small.bytes.writeInt32LE(value, 0)
  return setsockopt(fd, level, name, small.address, 4) === 0
}

/** The bytes of a socket option of at most 252 bytes, or undefined where it is not to be had. */
export function readOption(fd: number, level: number, name: number): Buffer | undefined {
  small.bytes.writeUInt32LE(252, 252)
  if (getsockopt(fd, level, name, small.address, small.address + 252) !== 0) return undefined
  return Buffer.from(small.bytes.subarray(0, small.bytes.readUInt32LE(252)))
}

/** Both ends of a pipe, close-on-exec and non-blocking. */
export function makePipe(): [number, number] {
  if (pipe2(small.address, SOCK_NONBLOCK | SOCK_CLOEXEC) !== 0) throw new Error(`pipe2: ${errorText(errno())}`)
  return [small.bytes.readInt32LE(0), small.bytes.readInt32LE(4)]
}
