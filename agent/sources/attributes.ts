/**
 * Names of span attributes, in one table. Those without "hotspan." are of the OpenTelemetry semantic conventions 1.44; what has no
 * name there is ours. A rename upstream is one line here.
 */
export const attributes = {
  processPid: 'process.pid',
  processParentPid: 'process.parent_pid',
  processExecutableName: 'process.executable.name',
  processExecutablePath: 'process.executable.path',
  /** One text, words joined by spaces; the conventions have a list, which the store does not keep. */
  processCommandArgs: 'process.command_args',
  processExitCode: 'process.exit.code',
  processUserId: 'process.user.id',
  threadId: 'thread.id',
  threadName: 'thread.name',
  containerId: 'container.id',
  errorType: 'error.type',
  filePath: 'file.path',
  fileSize: 'file.size',
  networkTransport: 'network.transport',
  networkType: 'network.type',
  networkLocalAddress: 'network.local.address',
  networkLocalPort: 'network.local.port',
  networkPeerAddress: 'network.peer.address',
  networkPeerPort: 'network.peer.port',
  clientAddress: 'client.address',
  clientPort: 'client.port',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  codeFunctionName: 'code.function.name',
  /** Signal that ended a process. */
  exitSignal: 'hotspan.process.exit.signal',
  /** Whole length of a command line that was cut. */
  commandLineBytes: 'hotspan.process.command_line.bytes',
  /** Result of a call as the kernel returns it: bytes, a descriptor or a negative errno. */
  result: 'hotspan.call.result',
  /** Bytes that were asked for. */
  requestedBytes: 'hotspan.io.requested_bytes',
  /** Offset in the file. */
  fileOffset: 'hotspan.io.offset',
  fileDevice: 'hotspan.file.device',
  fileInode: 'hotspan.file.inode',
  openFlags: 'hotspan.file.open_flags',
  openMode: 'hotspan.file.open_mode',
  /** Process whose wish for memory had another one killed. */
  oomCausePid: 'hotspan.oom.cause.pid',
  oomCauseName: 'hotspan.oom.cause.name',
  /** Name of a disk, as in /dev; and its number, major:minor. */
  systemDevice: 'system.device',
  blockDevice: 'hotspan.block.device',
  blockBytes: 'hotspan.block.bytes',
  /** In units of 512 bytes from the begin of the disk. */
  blockSector: 'hotspan.block.sector',
  /** Parts of a request's latency in milliseconds. */
  blockQueueTime: 'hotspan.block.queue_ms',
  /** In place of the time in queues, of a request that asks for the device's cache to be flushed: it waits for that, mostly. */
  blockFlushTime: 'hotspan.block.flush_ms',
  blockDeviceTime: 'hotspan.block.device_ms',
  /** "process", "writeback" (a worker that writes back the page cache) or "kernel" (another of its threads). */
  blockAskedBy: 'hotspan.block.asked_by',
  /** What a worker of the kernel was at: "flush-254:0". */
  threadWork: 'hotspan.thread.work',
  /** Inode of the network namespace that a connection is in. */
  networkNamespace: 'hotspan.network.namespace',
  /** Of a connection: bytes without those that were sent again, and those; segments that were sent again. */
  tcpBytesSent: 'hotspan.tcp.bytes_sent',
  tcpBytesReceived: 'hotspan.tcp.bytes_received',
  tcpBytesResent: 'hotspan.tcp.bytes_retransmitted',
  tcpRetransmits: 'hotspan.tcp.retransmits',
  /** True where it was open before the source was started: its span begins then, its bytes are of all its life. */
  tcpIsOlder: 'hotspan.tcp.is_older',
  /** From the first packet until it was established, in milliseconds; and round trips, smoothed and the shortest. */
  tcpHandshake: 'hotspan.tcp.handshake_ms',
  tcpRtt: 'hotspan.tcp.rtt_ms',
  tcpRttMin: 'hotspan.tcp.rtt_min_ms',
  /** Address of the probed function. */
  functionAddress: 'hotspan.function.address',
  /** Binary that holds the probed function; empty for the kernel. */
  functionModule: 'hotspan.function.module',
  /** Number of the system call by which a kernel function is seen where functions cannot be probed. */
  functionSyscall: 'hotspan.function.syscall',
  /** Followed by the argument's name or number. */
  argumentPrefix: 'hotspan.argument.',
} as const;
