// Loaded into a worker before its own file: ends it when its starter is gone, even by a signal that nobody can catch.

const leaveMsMax = 3_000;

process.once('disconnect', () => {
  // The worker's own way of stopping, which gives back what it holds,
  process.kill(process.pid, 'SIGTERM');
  // unless nobody is there to take it.
  setTimeout(() => process.exit(1), leaveMsMax).unref();
});
// Listening would keep a worker alive that has nothing else to do.
process.channel?.unref();
