import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts';

// Run by a test as a process of its own, to be killed: starts Postgres and says where.
const [dataDir = '', port = ''] = process.argv.slice(2);
const { url } = await startEmbeddedPostgres({ dataDir, port: Number(port), log: () => undefined, fsync: false });
console.log(url);
setInterval(() => undefined, 60_000);
