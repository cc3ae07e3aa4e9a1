/** The database of this browser: scans by nonce, and other values by name. Pages and the service worker share it. */

/** @type {Promise<IDBDatabase> | undefined} */
let opened;

function openDatabase() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open('waymark', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('scans', { keyPath: 'nonce' });
      request.result.createObjectStore('meta', { keyPath: 'name' });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/**
 * Run one request in a transaction of its own, and return its result.
 * @param {'scans' | 'meta'} name @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => any} use
 */
export async function run(name, mode, use) {
  const database = await openDatabase();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(name, mode);
    const request = use(transaction.objectStore(name));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}
