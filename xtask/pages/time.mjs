export async function wrongTimes() {}
