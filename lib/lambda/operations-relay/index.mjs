/**
 * Reaches the operations port of a slot's task for an operator: tasks have private addresses, and their operations port is open
 * to the load balancer and to this function alone. Permission to invoke it is permission to drain slots.
 */

const requests = new Set(['GET /status', 'POST /drain', 'POST /serve']);
const timeoutMs = 10_000;

/**
 * @param {{ address: string, request: string }} event the task's private IPv4 address, and one of the requests above
 * @returns {Promise<{ status: number, body: string }>} the response of the task
 */
export async function handler({ address, request }) {
  if (!requests.has(request)) throw new Error(`The request is one of ${[...requests].join(', ')}.`);
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) throw new Error('The address is an IPv4 address.');
  const [method, path] = request.split(' ');
  const response = await fetch(`http://${address}:${process.env.OPERATIONS_PORT}${path}`, {
    method,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  return { status: response.status, body: await response.text() };
}
